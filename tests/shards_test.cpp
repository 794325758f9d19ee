// SPDX-License-Identifier: Apache-2.0
// measure, merge, draw: a row in shards gives the bits of the whole row.
#include <gtest/gtest.h>

#include "support/shards.hpp"

namespace logsum::test {
namespace {

TEST(Shards, GiveTheBitsOfTheWholeRow) {
  for (const std::int64_t columns : {31, 4096, 5000, 32000, 50257}) {
    for (const DType dtype : logits_dtypes()) {
      Batch batch(healthy_rows(), columns, dtype, 5, 5);
      const auto targets = spread_targets(batch.rows(), columns);
      for (const float t : {1.0f, 0.5f}) {
        for (const Context& context : cpu_contexts()) {
          const Scores scores = scores_of(batch.tensor(), targets, context, {.temperature = t});
          const Draws draws =
              draws_of(batch.tensor(), context, {.temperature = t, .seed = 11, .draws = 3});
          for (const std::int64_t shards : {1, 2, 3, 8})
            EXPECT_TRUE(
                same_as_whole(in_shards(batch.tensor(), even_cuts(columns, shards), targets,
                                        {.temperature = t, .seed = 11, .draws = 3}, context),
                              scores, draws))
                << "V=" << columns << " T=" << t << " shards=" << shards << " " << name_of(context);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Shards, GreedyIsTheWholeRows) {
  for (const std::int64_t columns : {31, 9000, 32000}) {
    Batch batch(healthy_rows(), columns, DType::bf16, 6);
    const auto targets = spread_targets(batch.rows(), columns);
    const Draws draws = draws_of(batch.tensor(), {}, {.temperature = 0.0f, .draws = 2});
    for (const std::int64_t shards : {1, 2, 5}) {
      const Sharded got = in_shards(batch.tensor(), even_cuts(columns, shards), targets,
                                    {.temperature = 0.0f, .draws = 2});
      EXPECT_EQ(got.token, draws.token);
      EXPECT_EQ(got.logprob, draws.logprob);
      EXPECT_EQ(got.lse, draws.lse);
      EXPECT_EQ(got.entropy, draws.entropy);
      EXPECT_EQ(got.status, draws.status);
    }
  }
}

// merge's maximum is the largest logit, and draw's logits are those of the drawn tokens.
TEST(Shards, MaximumAndTokenLogits) {
  Batch batch(healthy_rows(), 20000, DType::f16, 8);
  const auto targets = spread_targets(batch.rows(), 20000);
  const Sharded got =
      in_shards(batch.tensor(), even_cuts(20000, 3), targets, {.seed = 1, .draws = 6});
  for (std::size_t i = 0; i < batch.values.size(); ++i) {
    const auto& z = batch.values[i];
    EXPECT_EQ(got.max[i], *std::max_element(z.begin(), z.end()));
    for (std::size_t k = 6 * i; k < 6 * i + 6; ++k)
      EXPECT_EQ(got.token_logit[k], z[static_cast<std::size_t>(got.token[k])]);
  }
}

// The reference's three steps agree with its whole rows: records are f32, so within a little more.
TEST(Shards, ReferenceAgreesWithItself) {
  Batch batch(healthy_rows(), 9000, DType::f32, 9);
  const auto targets = spread_targets(batch.rows(), 9000);
  const Scores whole = scores_of(batch.tensor(), targets, kReference);
  const Sharded got =
      in_shards(batch.tensor(), even_cuts(9000, 2), targets, {.seed = 2, .draws = 3}, kReference);
  for (std::size_t i = 0; i < whole.rows; ++i) {
    EXPECT_TRUE(within_contract(got.lse[i], whole.lse[i]));
    EXPECT_TRUE(within_contract(got.entropy[i], whole.entropy[i]));
    EXPECT_TRUE(within_contract(got.target_logprob[i], whole.logprobs[i]));
    EXPECT_EQ(got.argmax[i], whole.argmax[i]);
  }
}

}  // namespace
}  // namespace logsum::test
