// SPDX-License-Identifier: Apache-2.0
// A million random rows of each dtype: under cross_device a GPU's results are the CPU's to the bit;
// by its own exponential they keep the contract, and a token that differs is the neighbour at a
// step of the cdf.
#include <gtest/gtest.h>

#include "support/cdf.hpp"
#include "support/cuda.hpp"
#include "support/shards.hpp"
#include "support/statistics.hpp"
#include "support/truth.hpp"

namespace logsum::test {
namespace {

using CudaDeterminism = OnGpu;

const Context kCpu{.backend = Backend::cpu};
constexpr float kTemperature = 0.75f;
constexpr std::uint64_t kSeed = 77;

// Narrow rows are the many. Few calls, of many rows: beside other programs on the GPU a call's
// copies and waits take longer than its rows.
struct Part {
  std::int64_t columns, rows;
};
constexpr Part kParts[] = {{1, 600},    {2, 3000},   {31, 60000}, {64, 6000},  {100, 6000},
                           {257, 2400}, {1000, 900}, {1025, 600}, {4096, 150}, {5000, 150}};

enum class Kind { random, peaked, flat, masked, ties };
constexpr Kind kKinds[] = {Kind::random, Kind::peaked, Kind::flat, Kind::masked, Kind::ties};

std::vector<float> values_of(Kind kind, std::int64_t columns, std::uint64_t seed) {
  const float spread = kind == Kind::flat ? 1e-3f : kind == Kind::ties ? 3 : 10;
  std::vector<float> z = many_logits(static_cast<std::size_t>(columns), seed, spread);
  const std::size_t kept = seed % z.size();
  if (kind == Kind::peaked) z[kept] = 25;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (kind == Kind::masked && i != kept && (i + seed) % 3 != 0) z[i] = -kInf;
    if (kind == Kind::ties) z[i] = std::round(z[i]);
  }
  return z;
}

struct RandomRows {
  Matrix logits;
  std::vector<std::vector<float>> values;
  std::vector<std::int64_t> targets, offsets;

  RandomRows(const Part& part, DType dtype, std::uint64_t seed)
      : logits(part.rows, part.columns, dtype), targets(spread_targets(part.rows, part.columns)) {
    for (std::int64_t i = 0; i < part.rows; ++i) {
      const std::uint64_t row = seed * 100000 + static_cast<std::uint64_t>(i);
      values.push_back(values_of(kKinds[row % std::size(kKinds)], part.columns, row));
      for (float& x : values.back()) x = rounded_to(x, dtype);
      logits.set_row(i, values.back());
      offsets.push_back(static_cast<std::int64_t>(row));
    }
  }
  // Each row has its own uniform.
  Tensor offset() { return Tensor::of(offsets.data(), {std::int64_t(offsets.size())}); }
  SampleArgs sampling() { return {.temperature = kTemperature, .seed = kSeed, .offset = offset()}; }
  double u(std::size_t i) const { return uniform(kSeed, std::uint64_t(offsets[i]), 0); }
};

// f(rows) until the rows of each dtype are a million.
template <class F>
void for_random_rows(const F& f) {
  const std::int64_t wanted = is_quick() ? 50'000 : 1'000'000;
  for (const DType dtype : logits_dtypes()) {
    std::int64_t rows = 0;
    for (std::uint64_t seed = 0; rows < wanted; ++seed)
      for (const Part& part : kParts) {
        RandomRows some(part, dtype, seed * 100 + std::uint64_t(&part - kParts));
        SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(part.columns) +
                     " seed " + std::to_string(seed));
        f(some);
        rows += part.rows;
        if (::testing::Test::HasFailure()) return;
      }
  }
}

TEST_F(CudaDeterminism, CrossDeviceGivesTheCpusBits) {
  const Context gpu = cuda(Determinism::cross_device);
  for_random_rows([&](RandomRows& rows) {
    const Tensor logits = rows.logits.tensor();
    const TokenLogprobsArgs scoring{.temperature = kTemperature};
    const Scores scores = scores_of(logits, rows.targets, kCpu, scoring);
    const Draws draws = draws_of(logits, kCpu, rows.sampling());
    ASSERT_TRUE(same_bits(scores_of(logits, rows.targets, gpu, scoring), scores));
    ASSERT_TRUE(same_bits(draws_of(logits, gpu, rows.sampling()), draws));
    const ShardParameters parameters{
        .temperature = kTemperature, .seed = kSeed, .offset = rows.offset()};
    ASSERT_TRUE(
        same_as_whole(in_shards(logits, every_tile(logits.shape[1]), rows.targets, parameters, gpu),
                      scores, draws));
  });
}

TEST_F(CudaDeterminism, PerDeviceKeepsTheContract) {
  const Context gpu = cuda(Determinism::per_device);
  std::int64_t rows_seen = 0;
  for_random_rows([&](RandomRows& rows) {
    const Tensor logits = rows.logits.tensor();
    const Draws cpu = draws_of(logits, kCpu, rows.sampling());
    const Draws got = draws_of(logits, gpu, rows.sampling());
    const Scores scores =
        scores_of(logits, rows.targets, gpu, TokenLogprobsArgs{.temperature = kTemperature});
    // A rollout's ratio against the policy that made it is 1: the sampler is the scorer.
    const Scores of_drawn =
        scores_of(logits, got.token, gpu, TokenLogprobsArgs{.temperature = kTemperature});
    const Scores raw_of_drawn = scores_of(logits, got.token, gpu);
    ASSERT_TRUE(same_elements(got.logprob, 0, of_drawn.logprobs, 0, got.rows));
    ASSERT_TRUE(same_elements(got.raw_logprob, 0, raw_of_drawn.logprobs, 0, got.rows));
    for (std::size_t i = 0; i < got.rows; ++i) {
      const std::vector<float>& z = rows.values[i];
      ASSERT_EQ(got.status[i], static_cast<int>(RowStatus::ok));
      ASSERT_TRUE(got.token[i] == cpu.token[i] ||
                  is_token_of(z, kTemperature, rows.u(i), got.token[i]))
          << "row " << i << ": " << got.token[i] << " for " << cpu.token[i];
      if (rows_seen++ % 8 != 0) continue;
      const Truth truth(z, kTemperature), raw(z);
      const float drawn = z[std::size_t(got.token[i])], target = z[std::size_t(rows.targets[i])];
      EXPECT_TRUE(within_contract(got.logprob[i], truth.logprob(drawn)));
      EXPECT_TRUE(within_contract(got.raw_logprob[i], raw.logprob(drawn)));
      EXPECT_TRUE(within_contract(got.lse[i], truth.lse()));
      EXPECT_TRUE(within_contract(got.entropy[i], truth.entropy()));
      EXPECT_TRUE(within_contract(scores.lse[i], truth.lse()));
      EXPECT_TRUE(within_contract(scores.entropy[i], truth.entropy()));
      EXPECT_TRUE(within_contract(scores.logprobs[i], truth.logprob(target)));
      EXPECT_EQ(scores.argmax[i], std::max_element(z.begin(), z.end()) - z.begin());
    }
  });
}

}  // namespace
}  // namespace logsum::test
