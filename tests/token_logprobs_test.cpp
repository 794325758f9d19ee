// SPDX-License-Identifier: Apache-2.0
#include "logsum/token_logprobs.hpp"

#include <gtest/gtest.h>

#include "support/matrix.hpp"

namespace logsum::test {
namespace {

// All outputs of a call.
struct Scores {
  std::vector<float> logprobs, lse, entropy, top_logprobs;
  std::vector<std::int64_t> argmax, rank, top_ids;
  std::vector<std::int32_t> status;
};

Scores score(const Tensor& logits, std::vector<std::int64_t> targets, const Context& context,
             float temperature = 1.0f, std::int64_t vocab_size = 0) {
  const std::int64_t n = logits.shape[0];
  const std::int64_t top = std::min<std::int64_t>(5, vocab_size ? vocab_size : logits.dim(-1));
  const auto count = static_cast<std::size_t>(n);
  Scores s;
  s.logprobs.resize(count, 99);
  s.lse.resize(count, 99);
  s.entropy.resize(count, 99);
  s.argmax.resize(count, 99);
  s.rank.resize(count, 99);
  s.status.resize(count, 99);
  s.top_ids.resize(count * static_cast<std::size_t>(top), 99);
  s.top_logprobs.resize(count * static_cast<std::size_t>(top), 99);
  const Status status = token_logprobs({.logits = logits,
                                        .targets = Tensor::of(targets.data(), {n}),
                                        .logprobs = Tensor::of(s.logprobs.data(), {n}),
                                        .lse = Tensor::of(s.lse.data(), {n}),
                                        .entropy = Tensor::of(s.entropy.data(), {n}),
                                        .argmax = Tensor::of(s.argmax.data(), {n}),
                                        .rank = Tensor::of(s.rank.data(), {n}),
                                        .top_ids = Tensor::of(s.top_ids.data(), {n, top}),
                                        .top_logprobs = Tensor::of(s.top_logprobs.data(), {n, top}),
                                        .row_status = Tensor::of(s.status.data(), {n}),
                                        .temperature = temperature,
                                        .vocab_size = vocab_size},
                                       context);
  EXPECT_TRUE(status.ok()) << status.message();
  return s;
}

void expect_matches(const Scores& got, const Scores& truth, const std::string& what) {
  for (std::size_t i = 0; i < truth.lse.size(); ++i) {
    SCOPED_TRACE(what + ", row " + std::to_string(i));
    EXPECT_EQ(got.status[i], truth.status[i]);
    EXPECT_TRUE(within_contract(got.logprobs[i], truth.logprobs[i]))
        << got.logprobs[i] << " for " << truth.logprobs[i];
    EXPECT_TRUE(within_contract(got.lse[i], truth.lse[i])) << got.lse[i] << " for " << truth.lse[i];
    EXPECT_TRUE(within_contract(got.entropy[i], truth.entropy[i]))
        << got.entropy[i] << " for " << truth.entropy[i];
    EXPECT_EQ(got.argmax[i], truth.argmax[i]);
    EXPECT_EQ(got.rank[i], truth.rank[i]);
  }
  EXPECT_EQ(got.top_ids, truth.top_ids) << what;
  for (std::size_t i = 0; i < truth.top_logprobs.size(); ++i)
    EXPECT_TRUE(within_contract(got.top_logprobs[i], truth.top_logprobs[i])) << what;
}

void expect_same_bits(const Scores& a, const Scores& b, const std::string& what) {
  for (std::size_t i = 0; i < a.lse.size(); ++i) {
    EXPECT_TRUE(same_bits(a.logprobs[i], b.logprobs[i])) << what << ", row " << i;
    EXPECT_TRUE(same_bits(a.lse[i], b.lse[i])) << what << ", row " << i;
    EXPECT_TRUE(same_bits(a.entropy[i], b.entropy[i])) << what << ", row " << i;
  }
  EXPECT_EQ(a.argmax, b.argmax) << what;
  EXPECT_EQ(a.rank, b.rank) << what;
  EXPECT_EQ(a.status, b.status) << what;
}

const Context kReference{.backend = Backend::reference};

TEST(TokenLogprobs, MatchesReferenceOnEveryRowWidthDtypeAndTarget) {
  for (const DType dtype : logits_dtypes()) {
    for (const std::int64_t columns : widths()) {
      const auto cases = healthy_rows();
      Matrix z(static_cast<std::int64_t>(cases.size()), columns, dtype, 3, 1);
      std::vector<std::int64_t> targets;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        z.set_row(static_cast<std::int64_t>(i),
                  cases[i].make(columns, static_cast<std::uint32_t>(i)));
        targets.push_back(static_cast<std::int64_t>(i * 7919) % columns);
      }
      for (const float t : {1.0f, 0.6f, 1.7f}) {
        const Scores truth = score(z.tensor(), targets, kReference, t);
        Scores first;
        for (const Context& context : cpu_contexts()) {
          const Scores got = score(z.tensor(), targets, context, t);
          const std::string what = std::string(to_string(dtype)) + " V=" + std::to_string(columns) +
                                   " T=" + std::to_string(t) + " " + name_of(context);
          expect_matches(got, truth, what);
          if (first.lse.empty()) first = got;
          expect_same_bits(got, first, what);
        }
      }
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace logsum::test
