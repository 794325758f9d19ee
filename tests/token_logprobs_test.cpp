// SPDX-License-Identifier: Apache-2.0
// token_logprobs against the float64 reference on every row, width, dtype and SIMD target.
#include "logsum/token_logprobs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "support/outputs.hpp"

namespace logsum::test {
namespace {

void expect_matches(const Scores& got, const Scores& truth) {
  for (std::size_t i = 0; i < truth.rows; ++i) {
    SCOPED_TRACE("row " + std::to_string(i));
    EXPECT_EQ(got.status[i], truth.status[i]);
    EXPECT_TRUE(within_contract(got.logprobs[i], truth.logprobs[i]))
        << got.logprobs[i] << " for " << truth.logprobs[i];
    EXPECT_TRUE(within_contract(got.lse[i], truth.lse[i])) << got.lse[i] << " for " << truth.lse[i];
    EXPECT_TRUE(within_contract(got.entropy[i], truth.entropy[i]))
        << got.entropy[i] << " for " << truth.entropy[i];
    EXPECT_EQ(got.argmax[i], truth.argmax[i]);
    EXPECT_EQ(got.rank[i], truth.rank[i]);
  }
  EXPECT_EQ(got.top_ids, truth.top_ids);
  for (std::size_t i = 0; i < truth.top_logprobs.size(); ++i)
    EXPECT_TRUE(within_contract(got.top_logprobs[i], truth.top_logprobs[i]));
}

TEST(TokenLogprobs, MatchesReferenceOnEveryRowWidthDtypeAndTarget) {
  for (const DType dtype : logits_dtypes()) {
    for (const std::int64_t columns : widths()) {
      Batch batch(healthy_rows(), columns, dtype, 0, 3, 1);
      const auto targets = spread_targets(batch.rows(), columns);
      for (const float t : {1.0f, 0.6f, 1.7f}) {
        const TokenLogprobsArgs args{.temperature = t};
        const Scores truth = scores_of(batch.tensor(), targets, kReference, args);
        const Scores first = scores_of(batch.tensor(), targets, fast_contexts()[0], args);
        for (const Context& context : contract_contexts()) {
          SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns) +
                       " T=" + std::to_string(t) + " " + name_of(context));
          const Scores got = scores_of(batch.tensor(), targets, context, args);
          expect_matches(got, truth);
          EXPECT_TRUE(!has_cpu_bits(context) || same_bits(got, first));
        }
      }
      if (HasFailure()) return;
    }
  }
}

// The best N of a row for any N up to V, and all of its tokens as targets.
TEST(TokenLogprobs, TopNIsTheSortedRow) {
  for (const std::int64_t columns : {1, 2, 100, 1500, 9000}) {
    Batch batch(healthy_rows(), columns, DType::bf16, 3);
    const std::int64_t rows = batch.rows();
    for (const std::int64_t n : {std::int64_t{1}, columns / 2 + 1, columns}) {
      std::vector<std::int32_t> ids(static_cast<std::size_t>(rows * n), 99);
      std::vector<float> logprobs(ids.size(), 99);
      must(on::token_logprobs({.logits = batch.tensor(),
                               .top_ids = Tensor::of(ids.data(), {rows, n}),
                               .top_logprobs = Tensor::of(logprobs.data(), {rows, n})}));
      std::vector<std::int64_t> targets(ids.begin(), ids.end());
      const Scores scores = scores_of(batch.tensor(), targets);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        EXPECT_TRUE(same_bits(logprobs[i], scores.logprobs[i]));
        const std::size_t row = i / static_cast<std::size_t>(n);
        if (i % static_cast<std::size_t>(n) == 0) continue;
        const auto& z = batch.values[row];
        const float before = z[static_cast<std::size_t>(ids[i - 1])];
        const float here = z[static_cast<std::size_t>(ids[i])];
        EXPECT_TRUE(before > here || (before == here && ids[i - 1] < ids[i]));
      }
      // The last one's rank counts those before it that are strictly greater.
      for (std::size_t row = 0; row < scores.rows; ++row)
        EXPECT_LE(scores.rank[(row + 1) * static_cast<std::size_t>(n) - 1], n);
    }
  }
}

// More than a warp holds at once, with ties in bf16.
TEST(TokenLogprobs, ManyOfALongRow) {
  constexpr std::int64_t kColumns = 151936, kTop = 1000;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Batch batch(healthy_rows(), kColumns, dtype, 9);
    for (const Context& context : contract_contexts()) {
      std::vector<std::int64_t> ids(static_cast<std::size_t>(batch.rows() * kTop), 99);
      must(on::token_logprobs(
          {.logits = batch.tensor(), .top_ids = Tensor::of(ids.data(), {batch.rows(), kTop})},
          context));
      for (std::size_t row = 0; row < batch.values.size(); ++row) {
        const auto& z = batch.values[row];
        std::vector<std::int64_t> wanted(z.size());
        std::iota(wanted.begin(), wanted.end(), 0);
        std::partial_sort(wanted.begin(), wanted.begin() + kTop, wanted.end(),
                          [&](std::int64_t a, std::int64_t b) {
                            const float za = z[std::size_t(a)], zb = z[std::size_t(b)];
                            return za != zb ? za > zb : a < b;
                          });
        EXPECT_TRUE(std::equal(wanted.begin(), wanted.begin() + kTop, &ids[row * kTop]))
            << to_string(dtype) << " row " << row << " " << name_of(context);
      }
    }
  }
}

}  // namespace
}  // namespace logsum::test
