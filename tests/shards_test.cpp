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
        for (const Context& context : fast_contexts()) {
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

// One tensor of temperatures serves all three, zeros among them.
TEST(Shards, GreedyAmongOtherRows) {
  Batch batch(healthy_rows(), 9000, DType::f32, 7);
  const auto targets = spread_targets(batch.rows(), 9000);
  std::vector<float> t(static_cast<std::size_t>(batch.rows()), 0.7f);
  for (std::size_t i = 0; i < t.size(); i += 2) t[i] = 0;
  const PerRow<float> temperature = Tensor::of(t.data(), {batch.rows()});
  for (const Context& context : all_contexts()) {
    const Draws whole =
        draws_of(batch.tensor(), context, {.temperature = temperature, .seed = 3, .draws = 2});
    const Sharded got = in_shards(batch.tensor(), even_cuts(9000, 2), targets,
                                  {.temperature = temperature, .seed = 3, .draws = 2}, context);
    EXPECT_EQ(got.status, whole.status);
    for (std::size_t i = 0; i < t.size(); ++i) {
      EXPECT_TRUE(within_contract(got.lse[i], static_cast<double>(whole.lse[i])));
      if (t[i] == 0) {
        EXPECT_EQ(got.token[2 * i], whole.token[2 * i]);
      }
    }
    if (context.backend != Backend::reference) {
      EXPECT_EQ(got.token, whole.token);
      EXPECT_EQ(got.lse, whole.lse);
    }
  }
}

// A row's own trouble and its targets', together: as token_logprobs reports them.
TEST(Shards, SickRowsWithIgnoredTargets) {
  constexpr std::int64_t kColumns = 5000;
  std::vector<float> z(4 * kColumns, 0.5f);
  std::fill_n(z.begin(), kColumns, -kInf);
  z[kColumns + 4500] = kNaN;
  z[2 * kColumns + 3] = kInf;
  const Tensor logits = Tensor::of(z.data(), {4, kColumns});
  for (const std::int64_t target : {std::int64_t{-100}, std::int64_t{7}, kColumns}) {
    const std::vector<std::int64_t> targets(4, target);
    for (const Context& context : all_contexts()) {
      const Scores whole = scores_of(logits, targets, context);
      const Sharded got = in_shards(logits, even_cuts(kColumns, 2), targets, {}, context);
      EXPECT_TRUE(same_elements(got.lse, 0, whole.lse, 0, 4)) << target << name_of(context);
      EXPECT_TRUE(same_elements(got.target_logprob, 0, whole.logprobs, 0, 4)) << target;
      EXPECT_EQ(got.status, whole.status) << target;
      EXPECT_EQ(got.argmax, whole.argmax) << target;
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
// 0 has one form in a record, so that records of all backends have the same bytes.
TEST(Shards, ARecordsNIsNeverMinusZero) {
  for (const float max : {-0.0f, -0.1f, -0.34f, 0.1f})
    for (const float other : {-kInf, -1.0f, -1e30f}) {  // the last is far
      std::vector<float> z(1500, other);
      z[7] = max;
      for (const Context& context : all_contexts()) {
        TileRecord record;
        must(on::measure({.logits = Tensor::of(z.data(), {1, 1500}),
                          .records = Tensor::of(reinterpret_cast<std::uint8_t*>(&record),
                                                {1, 1, static_cast<std::int64_t>(sizeof record)})},
                         context));
        EXPECT_TRUE(same_bits(static_cast<float>(record.n), 0.0f))
            << max << " " << other << " " << name_of(context);
      }
    }
}

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
