// SPDX-License-Identifier: Apache-2.0
// Targets, temperatures, uniforms and indices that are out of range in single rows: those rows say
// so, the others keep their bits, and nothing is read out of bounds.
#include <gtest/gtest.h>

#include "support/outputs.hpp"
#include "support/shards.hpp"

namespace logsum::test {
namespace {

constexpr auto kOk = static_cast<std::int32_t>(RowStatus::ok);
constexpr auto kIgnored = static_cast<std::int32_t>(RowStatus::ignored);
constexpr auto kBadTarget = static_cast<std::int32_t>(RowStatus::bad_target);
constexpr auto kBadParameter = static_cast<std::int32_t>(RowStatus::bad_parameter);

Matrix random_rows(std::int64_t rows, std::int64_t columns, DType dtype = DType::f32) {
  Matrix z(rows, columns, dtype);
  for (std::int64_t i = 0; i < rows; ++i)
    z.set_row(i, gaussian(columns, 40 + static_cast<std::uint32_t>(i), 2.5f, 0));
  return z;
}

TEST(SpecialTargets, OutOfRangeIsNanAndReadsNothing) {
  constexpr std::int64_t kColumns = 5000;
  for (const std::int64_t bad :
       {std::int64_t{-1}, std::int64_t{-99}, kColumns, kColumns + 1, std::int64_t{1} << 31,
        -(std::int64_t{1} << 40), INT64_MAX, INT64_MIN, std::int64_t{1} << 62})
    for (const DType dtype : logits_dtypes())
      for (const Context& context : all_contexts()) {
        Matrix z = random_rows(3, kColumns, dtype);
        const Scores good = scores_of(z.tensor(), {1, 2, 3}, context);
        const Scores s = scores_of(z.tensor(), {1, bad, 3}, context);
        EXPECT_TRUE(std::isnan(s.logprobs[1])) << bad;
        EXPECT_EQ(s.rank[1], 0) << bad;
        EXPECT_EQ(s.status, (std::vector{kOk, kBadTarget, kOk})) << bad;
        EXPECT_TRUE(same_row(s, 0, good, 0) && same_row(s, 2, good, 2));
        // The rest of the row stands.
        EXPECT_TRUE(same_bits(s.lse[1], good.lse[1]) && same_bits(s.entropy[1], good.entropy[1]));
        EXPECT_EQ(s.argmax[1], good.argmax[1]);
        const Sharded shards =
            in_shards(z.tensor(), every_tile(kColumns), {1, bad, 3}, {}, context);
        EXPECT_TRUE(std::isnan(shards.target_logprob[1]));
        EXPECT_EQ(shards.status, (std::vector{kOk, kBadTarget, kOk})) << bad;
      }
}

TEST(SpecialTargets, VocabSizeIsTheBoundNotTheRow) {
  for (const Context& context : all_contexts()) {
    Matrix z = random_rows(2, 300);
    const Scores s = scores_of(z.tensor(), {199, 200}, context, {.vocab_size = 200});
    EXPECT_EQ(s.status, (std::vector{kOk, kBadTarget}));
    EXPECT_FALSE(std::isnan(s.logprobs[0]));
    EXPECT_TRUE(std::isnan(s.logprobs[1]));
  }
}

TEST(SpecialTargets, IgnoredIsZeroWhateverTheRowHolds) {
  const std::vector<float> sick[] = {
      {1, kNaN, 2, 0}, {kInf, 0, 0, 0}, {-kInf, -kInf, -kInf, -kInf}, {1, 2, 3, 4}};
  // In range too: a padding token's id is a common ignore_index.
  for (const std::int64_t ignore : {std::int64_t{-100}, std::int64_t{2}, std::int64_t{0},
                                    std::int64_t{4}, INT64_MAX, INT64_MIN})
    for (const Context& context : all_contexts()) {
      Matrix z(4, 4, DType::f32);
      for (std::size_t i = 0; i < 4; ++i) z.set_row(static_cast<std::int64_t>(i), sick[i]);
      const std::vector<std::int64_t> targets(4, ignore);
      const Scores s = scores_of(z.tensor(), targets, context, {.ignore_index = ignore});
      SCOPED_TRACE("ignore_index " + std::to_string(ignore) + " " + name_of(context));
      for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(same_bits(s.logprobs[i], 0.0f)) << i << ": " << s.logprobs[i];
        EXPECT_EQ(s.rank[i], 0) << i;
        EXPECT_EQ(s.status[i], kIgnored) << i;
      }
      EXPECT_TRUE(std::isnan(s.lse[0]) && std::isnan(s.lse[1]));
      EXPECT_EQ(s.lse[2], -kInf);
      EXPECT_EQ(s.argmax, (std::vector<std::int64_t>{-1, -1, -1, 3}));
    }
}

// With K targets a row is ignored where all are, bad where any is.
TEST(SpecialTargets, StatusOfManyTargets) {
  for (const Context& context : all_contexts()) {
    Matrix z = random_rows(4, 10);
    z.set(3, 5, kNaN);
    const Scores s =
        scores_of(z.tensor(), {-100, -100, -100, 3, -100, 77, 1, 2, 77, 1, 2, 77}, context);
    EXPECT_EQ(s.status, (std::vector{kIgnored, kBadTarget, kBadTarget,
                                     static_cast<std::int32_t>(RowStatus::nan)}));
    EXPECT_EQ(s.logprobs[4], 0);
    EXPECT_LT(s.logprobs[3], 0);
    EXPECT_TRUE(std::isnan(s.logprobs[5]));
    const Scores ok = scores_of(z.tensor(), {0, -100, 1, -100, 2, -100, 3, -100}, context);
    EXPECT_EQ(ok.status[0], kOk);
  }
}

TEST(SpecialTargets, MergeIgnoresTheIndex) {
  Matrix z = random_rows(2, 100);
  std::vector<TileRecord> records(2);
  const std::int64_t targets[] = {3, 4};
  float logits[2], logprobs[2];
  std::int32_t status[2];
  const Tensor r = Tensor::of(reinterpret_cast<std::uint8_t*>(records.data()), {2, 1, 24});
  const Tensor l = Tensor::of(logits, {2});
  must(on::measure({.logits = z.tensor(),
                    .records = r,
                    .targets = Tensor::of(targets, {2}),
                    .target_logits = l}));
  for (const Context& context : merge_contexts()) {
    must(on::merge({.shards = {&r, 1},
                    .vocab_size = 100,
                    .targets = Tensor::of(targets, {2}),
                    .target_logits = {&l, 1},
                    .logprobs = Tensor::of(logprobs, {2}),
                    .ignore_index = 3,
                    .row_status = Tensor::of(status, {2})},
                   context));
    EXPECT_EQ(logprobs[0], 0);
    EXPECT_LT(logprobs[1], 0);
    EXPECT_EQ(status[0], kIgnored);
    EXPECT_EQ(status[1], kOk);
  }
}

const float kBadTemperatures[] = {-1.0f,          kNaN,   kInf,    -kInf, 0x1p-65f,
                                  0x1.000002p64f, 1e-45f, -1e-45f, 3e38f, 0x0.fffffep-64f};

TEST(SpecialParameters, TemperatureOfARow) {
  for (const Context& context : all_contexts())
    for (const float bad : kBadTemperatures) {
      Matrix z = random_rows(5, 5000);
      const std::vector<float> t = {1.0f, bad, 0x1p-64f, 0x1p64f, 0.5f};
      const Tensor temperatures = Tensor::of(t.data(), {5});
      SCOPED_TRACE(std::to_string(bad) + " " + name_of(context));
      const std::vector<std::int64_t> targets = {1, 2, 3, 4, 5};
      const Scores s = scores_of(z.tensor(), targets, context, {.temperature = temperatures});
      EXPECT_EQ(s.status, (std::vector{kOk, kBadParameter, kOk, kOk, kOk}));
      EXPECT_TRUE(std::isnan(s.logprobs[1]) && std::isnan(s.lse[1]) && std::isnan(s.entropy[1]));
      EXPECT_EQ(s.argmax[1], -1);
      EXPECT_EQ(s.rank[1], 0);
      EXPECT_EQ(s.top_ids[5], -1);
      EXPECT_TRUE(std::isnan(s.top_logprobs[5]));
      const SampleArgs args{.temperature = temperatures, .seed = 4, .draws = 2};
      const Draws d = draws_of(z.tensor(), context, args);
      EXPECT_EQ(d.status, (std::vector{kOk, kBadParameter, kOk, kOk, kOk}));
      EXPECT_EQ(d.token[2], -1);
      EXPECT_TRUE(std::isnan(d.logprob[2]) && std::isnan(d.raw_logprob[2]) &&
                  std::isnan(d.lse[1]) && std::isnan(d.entropy[1]));
      for (const std::size_t i : {0u, 2u, 3u, 4u}) {
        const Tensor row = z.row(static_cast<std::int64_t>(i));
        EXPECT_TRUE(
            same_row(s, i, scores_of(row, {targets[i]}, context, {.temperature = t[i]}), 0));
        EXPECT_TRUE(same_row(
            d, i, draws_of(row, context, {.temperature = t[i], .seed = 4, .draws = 2}), 0));
      }
    }
}

// Temperature 0 in a tensor: argmax for sample, out of range for token_logprobs.
TEST(SpecialParameters, TemperatureZeroOfARow) {
  for (const Context& context : all_contexts()) {
    Matrix z = random_rows(2, 100);
    const float t[] = {0, 1};
    EXPECT_EQ(scores_of(z.tensor(), {1, 2}, context, {.temperature = Tensor::of(t, {2})}).status,
              (std::vector{kBadParameter, kOk}));
    const Draws d = draws_of(z.tensor(), context, {.temperature = Tensor::of(t, {2})});
    EXPECT_EQ(d.status, (std::vector{kOk, kOk}));
    EXPECT_EQ(d.token[0], scores_of(z.tensor(), {}, context).argmax[0]);
    EXPECT_TRUE(same_row(d, 0, draws_of(z.row(0), context, {.temperature = 0.0f}), 0));
    EXPECT_TRUE(same_row(d, 1, draws_of(z.row(1), context, {}), 0));
  }
}

TEST(SpecialParameters, UniformOfARow) {
  const double below_one = 1 - 0x1p-53;
  for (const Context& context : all_contexts())
    for (const double bad : {-0x1p-1074, -1.0, 1.0, 2.0, static_cast<double>(kNaN),
                             static_cast<double>(kInf), -static_cast<double>(kInf), 1e300}) {
      Matrix z = random_rows(3, 5000);
      // One bad uniform of two spoils its row's parameter.
      const std::vector<double> u = {0.1, below_one, 0.3, bad, -0.0, 0.6};
      const Draws d =
          draws_of(z.tensor(), context, {.u = Tensor::of(u.data(), {3, 2}), .draws = 2});
      SCOPED_TRACE(std::to_string(bad) + " " + name_of(context));
      EXPECT_EQ(d.status, (std::vector{kOk, kBadParameter, kOk}));
      EXPECT_EQ(d.token[2], -1);
      EXPECT_EQ(d.token[3], -1);
      EXPECT_TRUE(std::isnan(d.logprob[2]) && std::isnan(d.lse[1]) && std::isnan(d.entropy[1]));
      EXPECT_GE(d.token[4], 0);
      for (const std::size_t i : {0u, 2u})
        EXPECT_TRUE(same_row(d, i,
                             draws_of(z.row(static_cast<std::int64_t>(i)), context,
                                      {.u = Tensor::of(u.data() + 2 * i, {1, 2}), .draws = 2}),
                             0));
    }
  const float u32[] = {1.0f - 0x1p-24f, 1.0f};
  Matrix z = random_rows(2, 10);
  EXPECT_EQ(draws_of(z.tensor(), {}, {.u = Tensor::of(u32, {2, 1})}).status,
            (std::vector{kOk, kBadParameter}));
}

TEST(SpecialParameters, IndexOfARow) {
  for (const Context& context : all_contexts())
    for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 40,
                                   INT64_MAX, INT64_MIN, INT64_MAX / 5000}) {
      Matrix z = random_rows(3, 5000);
      const std::int64_t indices[] = {2, bad, 0, 2};
      const Draws d =
          draws_of(z.tensor(), context, {.indices = Tensor::of(indices, {4}), .seed = 6});
      SCOPED_TRACE(std::to_string(bad) + " " + name_of(context));
      EXPECT_EQ(d.status, (std::vector{kOk, kBadParameter, kOk, kOk}));
      EXPECT_EQ(d.token[1], -1);
      EXPECT_TRUE(std::isnan(d.logprob[1]) && std::isnan(d.lse[1]));
      EXPECT_TRUE(same_row(d, 0, d, 3));
      EXPECT_TRUE(same_row(d, 0, draws_of(z.row(2), context, {.seed = 6}), 0));
      EXPECT_TRUE(same_row(d, 2, draws_of(z.row(0), context, {.seed = 6}), 0));
    }
}

}  // namespace
}  // namespace logsum::test
