// SPDX-License-Identifier: Apache-2.0
// A row's bits don't depend on where it lies: slot, batch, stride, alignment, what stands behind
// vocab_size, the dtype that holds it.
#include <gtest/gtest.h>

#include "support/outputs.hpp"
#include "support/shards.hpp"

namespace logsum::test {
namespace {

const SampleArgs kSampling{.temperature = 0.8f, .seed = 12, .offset = 3, .draws = 3};

// Every row alone, against the rows of the batch.
template <class Alone>
void expect_rows_as_alone(const Scores& scores, const Draws& draws,
                          const std::vector<std::int64_t>& targets, const Alone& alone) {
  for (std::size_t i = 0; i < scores.rows; ++i) {
    const Tensor row = alone(i);
    EXPECT_TRUE(same_row(scores, i, scores_of(row, {targets[i]}), 0));
    EXPECT_TRUE(same_row(draws, i, draws_of(row, {}, kSampling), 0));
  }
}

TEST(InvarianceLayout, AloneOrInAnySlot) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {1, 100, 1025, 5000, 33000}) {
      Batch batch(healthy_rows(), columns, dtype, 1, 9, 2);
      const auto targets = spread_targets(batch.rows(), columns);
      const Scores scores = scores_of(batch.tensor(), targets);
      const Draws draws = draws_of(batch.tensor(), {}, kSampling);
      SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns));
      expect_rows_as_alone(scores, draws, targets, [&](std::size_t i) {
        return batch.logits.row(static_cast<std::int64_t>(i));
      });
      // The same rows in another order.
      const std::int64_t rows = batch.rows();
      Matrix shuffled(rows, columns, dtype);
      std::vector<std::int64_t> other_targets;
      for (std::int64_t i = 0; i < rows; ++i) {
        const auto from = static_cast<std::size_t>((i * 3 + 1) % rows);
        shuffled.set_row(i, batch.values[from]);
        other_targets.push_back(targets[from]);
      }
      const Scores moved = scores_of(shuffled.tensor(), other_targets);
      const Draws moved_draws = draws_of(shuffled.tensor(), {}, kSampling);
      for (std::int64_t i = 0; i < rows; ++i) {
        const auto from = static_cast<std::size_t>((i * 3 + 1) % rows);
        EXPECT_TRUE(same_row(moved, static_cast<std::size_t>(i), scores, from));
        EXPECT_TRUE(same_row(moved_draws, static_cast<std::size_t>(i), draws, from));
      }
    }
}

// 20 rows repeated to 2000, through a stride of 0 in a new leading dimension.
TEST(InvarianceLayout, InALargeBatch) {
  constexpr std::int64_t kColumns = 3000, kRepeats = 100;
  Batch batch(healthy_rows(), kColumns, DType::bf16, 1);
  const std::int64_t rows = batch.rows();
  const Scores wanted = scores_of(batch.tensor(), {});
  const std::int64_t shape[] = {kRepeats, rows, kColumns}, strides[] = {0, kColumns, 1};
  std::vector<float> lse(static_cast<std::size_t>(kRepeats * rows)), entropy(lse.size());
  must(on::token_logprobs(
      {.logits = Tensor::strided(batch.tensor().data, DType::bf16, shape, strides),
       .lse = Tensor::of(lse.data(), {kRepeats, rows}),
       .entropy = Tensor::of(entropy.data(), {kRepeats, rows})}));
  for (std::size_t i = 0; i < lse.size(); ++i) {
    EXPECT_TRUE(same_bits(lse[i], wanted.lse[i % wanted.rows]));
    EXPECT_TRUE(same_bits(entropy[i], wanted.entropy[i % wanted.rows]));
  }
}

// Every alignment that the dtype allows, within 64 bytes; odd row strides; rows backwards.
TEST(InvarianceLayout, StridesAndAlignments) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {33, 1024, 4096, 4131, 9000}) {
      Batch plain(healthy_rows(), columns, dtype, 4);
      const auto targets = spread_targets(plain.rows(), columns);
      const Scores scores = scores_of(plain.tensor(), targets);
      const Draws draws = draws_of(plain.tensor(), {}, kSampling);
      const auto places = static_cast<std::int64_t>(64 / size_of(dtype));
      for (std::int64_t misalign = 0; misalign < places; ++misalign) {
        Batch moved(healthy_rows(), columns, dtype, 4, misalign * 5 % 11, misalign);
        SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns) +
                     " misaligned by " + std::to_string(misalign));
        EXPECT_TRUE(same_bits(scores_of(moved.tensor(), targets), scores));
        EXPECT_TRUE(same_bits(draws_of(moved.tensor(), {}, kSampling), draws));
      }
      Tensor backwards = plain.tensor();
      const std::int64_t last = plain.rows() - 1;
      backwards.data = plain.logits.row(last).data;
      backwards.strides[0] = -backwards.strides[0];
      const Draws reversed = draws_of(backwards, {}, kSampling);
      for (std::size_t i = 0; i < draws.rows; ++i)
        EXPECT_TRUE(same_row(reversed, i, draws, draws.rows - 1 - i));
    }
}

// What stands behind vocab_size is never read into a result: NaN, +∞, larger logits.
TEST(InvarianceLayout, PaddedVocabulary) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {1, 31, 1000, 1024, 4096, 5000, 8191}) {
      Batch narrow(healthy_rows(), columns, dtype, 6);
      const auto targets = spread_targets(narrow.rows(), columns);
      const Scores scores = scores_of(narrow.tensor(), targets);
      const Draws draws = draws_of(narrow.tensor(), {}, kSampling);
      const Draws greedy = draws_of(narrow.tensor(), {}, {.temperature = 0.0f});
      const Sharded shards = in_shards(narrow.tensor(), every_tile(columns), targets, {.seed = 2});
      for (const float garbage : {kNaN, kInf, 60000.0f, -kInf})
        for (const std::int64_t padding : {1, 15, 5000}) {
          Matrix wide(narrow.rows(), columns + padding, dtype);
          for (std::int64_t i = 0; i < narrow.rows(); ++i) {
            std::vector<float> z = narrow.values[static_cast<std::size_t>(i)];
            z.resize(z.size() + static_cast<std::size_t>(padding), garbage);
            wide.set_row(i, z);
          }
          SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns) + " + " +
                       std::to_string(padding) + " of " + std::to_string(garbage));
          SampleArgs padded = kSampling;
          padded.vocab_size = columns;
          EXPECT_TRUE(
              same_bits(scores_of(wide.tensor(), targets, {}, {.vocab_size = columns}), scores));
          EXPECT_TRUE(same_bits(draws_of(wide.tensor(), {}, padded), draws));
          EXPECT_TRUE(same_bits(
              draws_of(wide.tensor(), {}, {.temperature = 0.0f, .vocab_size = columns}), greedy));
          const Sharded cut = in_shards(wide.tensor(), every_tile(columns), targets, {.seed = 2});
          EXPECT_EQ(cut.token, shards.token);
          EXPECT_TRUE(same_elements(cut.lse, 0, shards.lse, 0, shards.lse.size()));
        }
      if (HasFailure()) return;
    }
}

// A 16-bit row and the same row as f32.
TEST(InvarianceLayout, DtypeOfStorage) {
  for (const DType dtype : {DType::f16, DType::bf16})
    for (const std::int64_t columns : {1, 77, 1024, 5000, 33000}) {
      Batch small(healthy_rows(), columns, dtype, 8);
      Matrix wide(small.rows(), columns, DType::f32);
      for (std::int64_t i = 0; i < small.rows(); ++i)
        wide.set_row(i, small.values[static_cast<std::size_t>(i)]);
      const auto targets = spread_targets(small.rows(), columns);
      for (const Context& context : fast_contexts()) {
        EXPECT_TRUE(same_bits(scores_of(small.tensor(), targets, context),
                              scores_of(wide.tensor(), targets, context)));
        EXPECT_TRUE(same_bits(draws_of(small.tensor(), context, kSampling),
                              draws_of(wide.tensor(), context, kSampling)));
      }
    }
}

// Rows through indices: the order, repeats and both integer types.
TEST(InvarianceLayout, Indices) {
  Batch batch(healthy_rows(), 5000, DType::f32, 9);
  const Draws direct = draws_of(batch.tensor(), {}, kSampling);
  std::vector<std::int64_t> wide;
  for (std::int64_t i = 0; i < 50; ++i) wide.push_back(i * 7 % batch.rows());
  const std::vector<std::int32_t> narrow(wide.begin(), wide.end());
  for (const Tensor& indices : {Tensor::of(wide.data(), {50}), Tensor::of(narrow.data(), {50})}) {
    SampleArgs args = kSampling;
    args.indices = indices;
    const Draws got = draws_of(batch.tensor(), {}, args);
    for (std::size_t i = 0; i < 50; ++i)
      EXPECT_TRUE(same_row(got, i, direct, static_cast<std::size_t>(wide[i])));
  }
}

}  // namespace
}  // namespace logsum::test
