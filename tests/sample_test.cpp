// SPDX-License-Identifier: Apache-2.0
// sample against the float64 reference and against token_logprobs.
#include "logsum/sample.hpp"

#include <gtest/gtest.h>

#include "logsum/token_logprobs.hpp"
#include "support/cdf.hpp"
#include "support/outputs.hpp"

namespace logsum::test {
namespace {

TEST(Sample, MatchesReferenceOnEveryRowWidthDtypeAndTarget) {
  const auto cases = healthy_rows();
  for (const DType dtype : logits_dtypes()) {
    for (const std::int64_t columns : widths()) {
      Batch batch(cases, columns, dtype, 0, 3, 1);
      const auto seed = static_cast<std::uint64_t>(columns);
      for (const float t : {1.0f, 0.6f}) {
        const SampleArgs args{.temperature = t, .seed = seed, .draws = 5};
        const Draws truth = draws_of(batch.tensor(), kReference, args);
        const Draws first = draws_of(batch.tensor(), fast_contexts()[0], args);
        for (const Context& context : contract_contexts()) {
          const Draws got = draws_of(batch.tensor(), context, args);
          const std::string what = std::string(to_string(dtype)) + " V=" + std::to_string(columns) +
                                   " T=" + std::to_string(t) + " " + name_of(context);
          EXPECT_TRUE(!has_cpu_bits(context) || same_bits(got, first)) << what;
          for (std::size_t i = 0; i < got.token.size(); ++i) {
            const std::size_t row = i / 5;
            SCOPED_TRACE(what + " " + cases[row].name);
            EXPECT_EQ(got.status[row], truth.status[row]);
            EXPECT_TRUE(within_contract(got.lse[row], truth.lse[row]));
            EXPECT_TRUE(within_contract(got.entropy[row], truth.entropy[row]));
            if (got.token[i] == truth.token[i]) {
              EXPECT_TRUE(within_contract(got.logprob[i], truth.logprob[i]))
                  << got.logprob[i] << " for " << truth.logprob[i];
              EXPECT_TRUE(within_contract(got.raw_logprob[i], truth.raw_logprob[i]));
            } else {
              const double u = uniform(seed, 0, static_cast<std::uint32_t>(i % 5));
              EXPECT_TRUE(is_token_of(batch.values[row], t, u, got.token[i]));
            }
          }
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Sample, LogprobIsTheScorersBitForBit) {
  for (const DType dtype : logits_dtypes()) {
    Batch batch(healthy_rows(), 50257, dtype, 7);
    for (const float t : {1.0f, 0.3f, 2.5f, 0.0f}) {
      const Draws d = draws_of(batch.tensor(), {}, {.temperature = t, .seed = 3, .draws = 4});
      const float scored_at = t == 0 ? 1 : t;
      const Scores at_t = scores_of(batch.tensor(), d.token, {}, {.temperature = scored_at});
      const Scores raw = scores_of(batch.tensor(), d.token);
      for (std::size_t i = 0; i < d.token.size(); ++i) {
        EXPECT_TRUE(same_bits(d.raw_logprob[i], raw.logprobs[i])) << i / 4 << " T=" << t;
        EXPECT_LE(d.logprob[i], 0.0f);
        if (t == 0) continue;
        EXPECT_TRUE(same_bits(d.logprob[i], at_t.logprobs[i])) << i / 4 << " T=" << t;
      }
      if (t == 0) continue;
      for (std::size_t i = 0; i < d.rows; ++i) {
        EXPECT_TRUE(same_bits(d.lse[i], at_t.lse[i])) << i << " T=" << t;
        EXPECT_TRUE(same_bits(d.entropy[i], at_t.entropy[i])) << i << " T=" << t;
      }
    }
  }
}

TEST(Sample, TemperatureZeroIsArgmax) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {1, 9, 4096, 12289}) {
      Batch batch(healthy_rows(), columns, dtype, 2);
      const Scores s = scores_of(batch.tensor(), {});
      for (const float zero : {0.0f, -0.0f}) {
        const Draws d = draws_of(batch.tensor(), {}, {.temperature = zero, .draws = 2});
        for (std::size_t i = 0; i < d.rows; ++i) {
          EXPECT_EQ(d.token[2 * i], s.argmax[i]);
          EXPECT_EQ(d.token[2 * i + 1], s.argmax[i]);
          EXPECT_EQ(d.logprob[2 * i], 0.0f);
          EXPECT_EQ(d.entropy[i], 0.0f);
          EXPECT_EQ(d.lse[i], *std::max_element(batch.values[i].begin(), batch.values[i].end()));
        }
      }
    }
}

}  // namespace
}  // namespace logsum::test
