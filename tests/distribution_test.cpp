// SPDX-License-Identifier: Apache-2.0
// 1.15e8 draws against float64 softmax: a peaked row with tail tokens of probability 1e-8, a flat
// row and real rows, from seed and offset and from the caller's u. Each G-test raises a false alarm
// for one seed in a million.
#include <gtest/gtest.h>

#include <random>

#include "io/array_file.hpp"
#include "logsum/sample.hpp"
#include "support/cdf.hpp"
#include "support/outputs.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

enum class Source { seed, u };
using Counts = std::vector<std::uint32_t>;

// Draws `total` tokens (but for rounding) of one row [V], in calls of eight rows that are all it.
Counts counts_of(const Tensor& row, float temperature, Source source, std::int64_t total) {
  constexpr std::int64_t kRows = 8;
  const std::int64_t calls = total / kRows / (1 << 18) + 1;
  const std::int64_t draws = total / kRows / calls;
  const std::int64_t shape[] = {kRows, row.shape[0]}, strides[] = {0, 1};
  std::vector<std::int32_t> token(static_cast<std::size_t>(kRows * draws));
  std::vector<double> u(source == Source::u ? token.size() : 0);
  std::mt19937_64 random(9);
  Counts counts(static_cast<std::size_t>(row.shape[0]));
  for (std::int64_t done = 0; done < calls * kRows; done += kRows) {
    std::int64_t offset[kRows];
    for (std::int64_t i = 0; i < kRows; ++i) offset[i] = done + i;
    for (double& x : u) x = static_cast<double>(random() >> 11) * 0x1p-53;
    SampleArgs args{.logits = Tensor::strided(row.data, row.dtype, shape, strides),
                    .token = Tensor::of(token.data(), {kRows, draws}),
                    .temperature = temperature,
                    .seed = 20,
                    .offset = Tensor::of(offset, {kRows}),
                    .draws = draws};
    if (source == Source::u) args.u = Tensor::of(u.data(), {kRows, draws});
    must(sample(args));
    for (const std::int32_t t : token) ++counts.at(static_cast<std::size_t>(t));
  }
  return counts;
}

void expect_fit(const Counts& counts, const std::vector<double>& p) {
  EXPECT_TRUE(fits(counts, p));
  for (std::size_t i = 0; i < p.size(); ++i)
    EXPECT_TRUE(p[i] > 0 || counts[i] == 0) << "column " << i << " is masked";
}

// Five tiles, each with masked columns, tail tokens of 1e-8 and tokens between 1e-3 and 1e-6; most
// of the mass on one column in the middle.
constexpr double kTail = 1e-8;
bool is_tail(std::int64_t column) { return column != 9000 && column % 20 != 3 && column % 20 != 7; }
std::vector<float> peaked_row() {
  return mapped(std::vector<float>(20000), [](float, std::int64_t i) {
    if (i == 9000) return 0.0f;
    if (i % 20 == 3) return -kInf;
    return is_tail(i) ? static_cast<float>(std::log(kTail))
                      : -7.0f - static_cast<float>(i) * 3.5e-4f;
  });
}

// In all, and token by token: a sampler that rounds tail tokens away, or gives some the share of
// their neighbours, passes a test of totals.
void expect_tail(const Counts& counts, const std::vector<double>& p) {
  double draws = 0, expected = 0, expected_seen = 0, observed = 0, seen = 0, tokens = 0;
  for (const std::uint32_t count : counts) draws += count;
  std::uint32_t most = 0;
  double mean = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!is_tail(static_cast<std::int64_t>(i))) continue;
    mean = p[i] * draws;
    ++tokens;
    expected += mean;
    expected_seen += 1 - std::exp(-mean);
    observed += counts[i];
    seen += counts[i] > 0;
    most = std::max(most, counts[i]);
  }
  EXPECT_NEAR(mean / draws, kTail, kTail / 5);
  EXPECT_NEAR(observed, expected, kSigmas * std::sqrt(expected));
  EXPECT_NEAR(seen, expected_seen, kSigmas * std::sqrt(expected_seen));
  EXPECT_GT(tokens * poisson_above(mean, most), 1e-6)
      << "one tail token drawn " << most << " times";
}

TEST(Distribution, PeakedRowWithItsTail) {
  const std::vector<float> z = peaked_row();
  const std::vector<double> p = probabilities_of(z, 1);
  const Tensor row = Tensor::of(z.data(), {20000});
  for (const auto& [source, total] :
       {std::pair{Source::seed, 25'000'000}, std::pair{Source::u, 15'000'000}}) {
    SCOPED_TRACE(source == Source::u ? "u" : "seed");
    const Counts counts = counts_of(row, 1, source, statistical_size(total));
    expect_fit(counts, p);
    expect_tail(counts, p);
  }
}

TEST(Distribution, FlatRow) {
  std::vector<float> z(50257, -7.53f);
  for (std::size_t i = 4; i < z.size(); i += 5) z[i] = -kInf;
  const std::vector<double> p = probabilities_of(z, 1);
  const Tensor row = Tensor::of(z.data(), {50257});
  expect_fit(counts_of(row, 1, Source::seed, statistical_size(20'000'000)), p);
  expect_fit(counts_of(row, 1, Source::u, statistical_size(10'000'000)), p);
}

// Rows of a language model as they came, bf16.
TEST(Distribution, RealRows) {
  const io::ArrayFile file(LOGSUM_DEMO_LOGITS);
  const io::ArrayInfo& logits = file.at("policy_logits");
  ASSERT_EQ(logits.dtype, DType::bf16);
  ASSERT_TRUE(io::is_aligned(logits));
  const std::int64_t rows = logits.shape[0], columns = logits.shape[1];
  const auto* stored = static_cast<const BFloat16*>(logits.data);
  for (std::int64_t i = 0; i < rows; ++i) {
    const BFloat16* const begin = stored + i * columns;
    const std::vector<float> z(begin, begin + columns);
    const Tensor row = Tensor::of(begin, {columns});
    SCOPED_TRACE("row " + std::to_string(i));
    const std::int64_t total = statistical_size(20'000'000 / rows);
    expect_fit(counts_of(row, 1, Source::seed, total), probabilities_of(z, 1));
    expect_fit(counts_of(row, 0.75f, Source::u, total), probabilities_of(z, 0.75f));
  }
}

// The test itself: it sees a temperature that is off by 1 % (10 % in a hundredth of the draws), and
// draws that fit too well.
TEST(Distribution, ABiasWouldShow) {
  const std::vector<float> z = gaussian(20000, 3, 2.5f, 0);
  const Counts counts =
      counts_of(Tensor::of(z.data(), {20000}), 1, Source::seed, statistical_size(5'000'000));
  EXPECT_TRUE(fits(counts, probabilities_of(z, 1)));
  EXPECT_FALSE(fits(counts, probabilities_of(z, is_quick() ? 1.1 : 1.01)));
  EXPECT_FALSE(fits(counts, probabilities_of(z, is_quick() ? 0.9 : 0.99)));
  Counts even(1000, 500);
  EXPECT_FALSE(fits(even, std::vector<double>(1000, 1e-3)));
}

}  // namespace
}  // namespace logsum::test
