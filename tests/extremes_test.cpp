// SPDX-License-Identifier: Apache-2.0
// The smallest and the largest: vocabularies from 1 to 2^31 − 1 columns, more than 2^31 elements,
// rows and results more than 2^31 elements apart.
#include <gtest/gtest.h>

#include "support/cdf.hpp"
#include "support/shards.hpp"
#include "support/sparse.hpp"
#include "support/statistics.hpp"
#include "support/truth.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kMaxColumns = INT32_MAX;
constexpr double kBelowOne = 1 - 0x1p-53;

std::vector<RowCase> few_rows() {
  std::vector<RowCase> few;
  for (RowCase& row : healthy_rows())
    for (const char* name :
         {"random", "peaked", "flat", "ten_thousands", "mostly_masked", "masked_by_lowest_float"})
      if (row.name == name) few.push_back(std::move(row));
  return few;
}

TEST(Extremes, EveryVocabularyIsRight) {
  const auto cases = few_rows();
  ASSERT_EQ(cases.size(), 6u);
  for (const std::int64_t columns : {1, 2, 3, 31, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097,
                                     32000, 128256, 131072, 151936, 262144, 262147})
    for (const DType dtype : logits_dtypes()) {
      Batch batch(cases, columns, dtype, static_cast<std::uint32_t>(columns));
      const auto targets = spread_targets(batch.rows(), columns);
      const Scores s = scores_of(batch.tensor(), targets);
      const Draws d = draws_of(batch.tensor(), {}, {.seed = 8, .draws = 4});
      for (std::size_t i = 0; i < cases.size(); ++i) {
        SCOPED_TRACE(cases[i].name + " V=" + std::to_string(columns) + " " + to_string(dtype));
        const std::vector<float>& z = batch.values[i];
        const Truth truth(z);
        EXPECT_TRUE(within_contract(s.lse[i], truth.lse())) << s.lse[i] << " " << truth.lse();
        EXPECT_TRUE(within_contract(s.entropy[i], truth.entropy()))
            << s.entropy[i] << " for " << truth.entropy();
        const float target = z[static_cast<std::size_t>(targets[i])];
        EXPECT_TRUE(within_contract(s.logprobs[i], truth.logprob(target)));
        EXPECT_EQ(s.argmax[i], std::max_element(z.begin(), z.end()) - z.begin());
        EXPECT_EQ(s.rank[i],
                  1 + std::count_if(z.begin(), z.end(), [target](float x) { return x > target; }));
        EXPECT_EQ(s.status[i], 0);
        const std::vector<double> cdf = cdf_of(z, 1);
        for (std::size_t k = 4 * i; k < 4 * i + 4; ++k) {
          const double u = uniform(8, 0, static_cast<std::uint32_t>(k % 4));
          ASSERT_TRUE(is_token_of(cdf, u, d.token[k])) << u << " gave " << d.token[k];
          const float drawn = z[static_cast<std::size_t>(d.token[k])];
          EXPECT_TRUE(within_contract(d.logprob[k], truth.logprob(drawn)));
        }
      }
      if (HasFailure()) return;
    }
}

// One row 16385 times, through a stride of 0: 2^31 + 2^17 elements.
TEST(Extremes, MoreElementsThan32BitsCount) {
  constexpr std::int64_t kRows = 16385, kColumns = 131072;
  static_assert(kRows * kColumns > std::int64_t{1} << 31);
  Batch one({healthy_rows()[0]}, kColumns, DType::bf16);
  const std::int64_t shape[] = {kRows, kColumns}, strides[] = {0, 1};
  const std::vector<std::int64_t> targets(static_cast<std::size_t>(kRows), kColumns - 1);
  std::vector<float> lse(targets.size()), logprobs(targets.size());
  must(
      on::token_logprobs({.logits = Tensor::strided(one.tensor().data, DType::bf16, shape, strides),
                          .targets = Tensor::of(targets.data(), {kRows}),
                          .logprobs = Tensor::of(logprobs.data(), {kRows}),
                          .lse = Tensor::of(lse.data(), {kRows})}));
  const Truth truth(one.values[0]);
  EXPECT_TRUE(within_contract(lse[0], truth.lse()));
  EXPECT_TRUE(within_contract(logprobs[0], truth.logprob(one.values[0].back())));
  for (std::size_t i = 0; i < lse.size(); ++i)
    ASSERT_TRUE(same_bits(lse[i], lse[0]) && same_bits(logprobs[i], logprobs[0])) << i;
}

// Rows, and the results of rows, further apart than 2^31 elements, forwards and backwards.
TEST(Extremes, StridesBeyond32Bits) {
  if (on::is_mirrored()) GTEST_SKIP() << "17 GB of zeros would be copied";
  constexpr std::int64_t kColumns = 5000, kStride = (std::int64_t{1} << 31) + 12345;
  for (const DType dtype : logits_dtypes()) {
    Batch near({healthy_rows()[0], healthy_rows()[5], healthy_rows()[12]}, kColumns, dtype, 2);
    const std::vector<std::int64_t> targets = {1, 4999, 2500};
    const Scores scores = scores_of(near.tensor(), targets);
    const Draws draws = draws_of(near.tensor(), {}, {.seed = 6, .draws = 3});
    const std::size_t size = size_of(dtype);
    SparseMemory memory((2 * kStride + kColumns) * static_cast<std::int64_t>(size));
    for (std::int64_t i = 0; i < 3; ++i)
      std::memcpy(memory.at(i * kStride * static_cast<std::int64_t>(size)), near.logits.row(i).data,
                  kColumns * size);
    const std::int64_t shape[] = {3, kColumns}, strides[] = {kStride, 1};
    const Tensor far = Tensor::strided(memory.at(0), dtype, shape, strides);
    EXPECT_TRUE(same_bits(scores_of(far, targets), scores));
    EXPECT_TRUE(same_bits(draws_of(far, {}, {.seed = 6, .draws = 3}), draws));
    Tensor backwards = far;
    backwards.data = memory.at(2 * kStride * static_cast<std::int64_t>(size));
    backwards.strides[0] = -kStride;
    const Draws reversed = draws_of(backwards, {}, {.seed = 6, .draws = 3});
    for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(same_row(reversed, i, draws, 2 - i));
    // Through indices, whose row is found by the same stride.
    const std::int64_t indices[] = {2, 2, 1, 0};
    const Draws picked =
        draws_of(far, {}, {.indices = Tensor::of(indices, {4}), .seed = 6, .draws = 3});
    for (std::size_t i = 0; i < 4; ++i)
      EXPECT_TRUE(same_row(picked, i, draws, static_cast<std::size_t>(indices[i])));
  }
}

TEST(Extremes, OutputStridesBeyond32Bits) {
  if (on::is_mirrored()) GTEST_SKIP() << "34 GB of zeros would be copied";
  constexpr std::int64_t kStride = (std::int64_t{1} << 31) + 1;
  Batch batch({healthy_rows()[0], healthy_rows()[5], healthy_rows()[12]}, 300, DType::f32);
  const Draws draws = draws_of(batch.tensor(), {}, {.seed = 6, .draws = 2});
  SparseMemory lse(2 * kStride * 4 + 4), token(2 * kStride * 8 + 16);
  const std::int64_t shape[] = {3, 2}, strides[] = {kStride, 1};
  must(on::sample(
      {.logits = batch.tensor(),
       .token = Tensor::strided(token.at(0), DType::i64, shape, strides),
       .lse = Tensor::strided(lse.at(0), DType::f32, std::span(shape, 1), std::span(strides, 1)),
       .seed = 6,
       .draws = 2}));
  for (std::size_t i = 0; i < 3; ++i) {
    const auto row = static_cast<std::int64_t>(i) * kStride;
    EXPECT_EQ(std::memcmp(token.at(8 * row), &draws.token[2 * i], 16), 0) << i;
    EXPECT_EQ(std::memcmp(lse.at(4 * row), &draws.lse[i], 4), 0) << i;
  }
}

// As many columns as there may be, all 0 but for the last, in memory that is never touched. A
// sanitizer keeps a shadow of what is read, several times its size, and a mirror copies all of it:
// fewer columns there.
TEST(Extremes, TheWidestRow) {
  const bool is_too_wide = is_quick() || on::is_mirrored();
  const std::int64_t columns = is_too_wide ? std::int64_t{1} << 26 : kMaxColumns;
  SparseMemory memory(2 * columns);
  const BFloat16 last(1.0f);
  std::memcpy(memory.at(2 * (columns - 1)), &last, 2);
  const std::int64_t shape[] = {1, columns};
  const Tensor row = Tensor::contiguous(memory.at(0), DType::bf16, shape);
  const std::int64_t targets[] = {columns - 1, columns - 2, columns};
  float logprobs[3], lse;
  std::int64_t argmax;
  std::int32_t status;
  must(on::token_logprobs({.logits = row,
                           .targets = Tensor::of(targets, {1, 3}),
                           .logprobs = Tensor::of(logprobs, {1, 3}),
                           .lse = Tensor::of(&lse, {1}),
                           .argmax = Tensor::of(&argmax, {1}),
                           .row_status = Tensor::of(&status, {1})}));
  const double truth = std::log(static_cast<double>(columns - 1) + std::exp(1.0));
  EXPECT_TRUE(within_contract(lse, truth)) << lse << " for " << truth;
  EXPECT_TRUE(within_contract(logprobs[0], 1 - truth)) << logprobs[0];
  EXPECT_TRUE(within_contract(logprobs[1], -truth)) << logprobs[1];
  EXPECT_TRUE(std::isnan(logprobs[2]));
  EXPECT_EQ(argmax, columns - 1);
  EXPECT_EQ(status, static_cast<std::int32_t>(RowStatus::bad_target));
  const std::vector<double> u = {0, 0.5, 0.999, kBelowOne};
  std::int32_t token[4];
  must(on::sample({.logits = row,
                   .token = Tensor::of(token, {1, 4}),
                   .u = Tensor::of(u.data(), {1, 4}),
                   .draws = 4}));
  EXPECT_EQ(token[0], 0);
  EXPECT_EQ(token[3], columns - 1);
  const double all = static_cast<double>(columns - 1) + std::exp(1.0);
  for (int k = 1; k < 3; ++k)
    EXPECT_NEAR(token[k], u[static_cast<std::size_t>(k)] * all, 0x1p-22 * all + 1);
}

// The last shard of the widest row: its columns end at 2^31 − 1. All other tiles are empty.
TEST(Extremes, TheLastShardOfTheWidestRow) {
  const std::int64_t tiles = (kMaxColumns + kTileColumns - 1) / kTileColumns;
  const std::int64_t start = (tiles - 2) * kTileColumns, columns = kMaxColumns - start;
  Batch batch({healthy_rows()[0]}, columns, DType::f32, 3);
  const std::int64_t target = kMaxColumns - 1;
  const Scores scores = scores_of(batch.tensor(), {columns - 1});
  const Draws draws = draws_of(batch.tensor(), {}, {.seed = 5, .draws = 3});
  std::vector<TileRecord> rest(static_cast<std::size_t>(tiles - 2)), mine(2);
  const auto bytes = [](auto& v) { return reinterpret_cast<std::uint8_t*>(v.data()); };
  const Tensor records[] = {Tensor::of(bytes(rest), {1, tiles - 2, 24}),
                            Tensor::of(bytes(mine), {1, 2, 24})};
  float logits[] = {-kInf, 99}, lse, logprob, drawn[3];
  const Tensor target_logits[] = {Tensor::of(&logits[0], {1}), Tensor::of(&logits[1], {1})};
  must(on::measure({.logits = batch.tensor(),
                    .records = records[1],
                    .targets = Tensor::of(&target, {1}),
                    .target_logits = target_logits[1],
                    .vocab_start = start}));
  EXPECT_EQ(logits[1], batch.values[0].back());
  std::int32_t argmax, token[3];
  std::vector<DrawChoice> choices(3);
  const Tensor choice_tensor = Tensor::of(bytes(choices), {1, 3, 32});
  must(on::merge({.shards = records,
                  .vocab_size = kMaxColumns,
                  .targets = Tensor::of(&target, {1}),
                  .target_logits = target_logits,
                  .logprobs = Tensor::of(&logprob, {1}),
                  .lse = Tensor::of(&lse, {1}),
                  .argmax = Tensor::of(&argmax, {1}),
                  .choices = choice_tensor,
                  .seed = 5,
                  .draws = 3}));
  must(on::draw({.logits = batch.tensor(),
                 .choices = choice_tensor,
                 .token = Tensor::of(token, {1, 3}),
                 .logprob = Tensor::of(drawn, {1, 3}),
                 .vocab_start = start}));
  // Masses are coarser than in a row of 8191 columns, so not its bits, but its values.
  EXPECT_TRUE(within_contract(lse, scores.lse[0]));
  EXPECT_TRUE(within_contract(logprob, scores.logprobs[0]));
  EXPECT_EQ(argmax, start + scores.argmax[0]);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(token[k], start + draws.token[k]);
    EXPECT_TRUE(within_contract(drawn[k], draws.logprob[k]));
  }
}

}  // namespace
}  // namespace logsum::test
