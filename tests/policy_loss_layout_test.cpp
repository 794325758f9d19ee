// SPDX-License-Identifier: Apache-2.0
// policy_loss of tensors with other strides and dimensions: of each, the same results as of
// contiguous ones.
#include <gtest/gtest.h>

#include "support/elsewhere.hpp"
#include "support/policy_grid.hpp"
#include "support/tensors_of.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kTokens = 5, kSequences = 6;

Policy full_batch(const PolicyOptions& options) {
  Policy p = policy_batch(options, kSequences, kTokens, 300, 9);
  p.options.beta = 0.1f;
  p.options.entropy_coef = 0.1f;
  for (std::size_t i = 0; i < p.rows(); ++i) {
    p.mask.push_back(i % 7 != 3);
    p.entropy_mask.push_back(i % 5 != 2);
    p.temperatures.push_back(0.7f + 0.125f * static_cast<float>(i % 4));
    p.sampling.push_back(p.old[i] + 0.1f * static_cast<float>(i % 3));
    p.weights.push_back(0.5f + 0.25f * static_cast<float>(i % 5));
  }
  return p;
}

TEST(PolicyLossLayout, TokensOfAnyStrides) {
  for (const TokenStrides& s : {TokenStrides{1, kSequences, 0}, TokenStrides{-kTokens, -1, 29},
                                TokenStrides{13, 2, 1}, TokenStrides{-1, kSequences, 5}})
    for (const RatioLevel level : {RatioLevel::token, RatioLevel::sequence}) {
      const Policy p = full_batch({.ratio_level = level});
      PolicyCall first(p), got(p);
      first.run();
      PolicyLossArgs& args = got.args;
      TokensElsewhere tokens(
          {&args.targets, &args.completion_mask, &args.entropy_mask, &args.old_per_token_logps,
           &args.ref_per_token_logps, &args.sampling_per_token_logps, &args.importance_weights,
           &args.temperature.tensor},
          {&args.per_token_loss, &args.per_token_logps, &args.per_token_kl, &args.entropy,
           &args.row_status},
          s);
      EveryOther metrics(got.metrics, args.metrics);
      got.run();
      tokens.copy_back();
      metrics.copy_back();
      EXPECT_TRUE(same_results(got, first)) << s.of_sequence;
    }
}

// [2, 3, T, V] is six sequences; their values may be strided or one value for all.
TEST(PolicyLossLayout, MoreDimensions) {
  Policy p = full_batch({.ratio_level = RatioLevel::sequence});
  p.weights.resize(kSequences);
  PolicyCall first(p), got(p);
  first.run();
  for (Tensor* t : tensors_of(got.args))
    if (t->rank >= 1 && t->shape[0] == kSequences) split_first_dimension(*t, 2, 3);
  EXPECT_TRUE(same_results(got.run(), first));
  // Backwards, and every other one.
  std::vector<float> backwards(p.advantages.rbegin(), p.advantages.rend()), wide(12, kNaN);
  for (std::size_t i = 0; i < 6; ++i) wide[2 * i] = p.weights[i];
  got.args.advantages.data = &backwards[5];
  got.args.advantages.strides[0] = -3;
  got.args.advantages.strides[1] = -1;
  got.args.importance_weights.data = wide.data();
  got.args.importance_weights.strides[0] = 6;
  got.args.importance_weights.strides[1] = 2;
  EXPECT_TRUE(same_results(got.run(), first));

  float one = 0.75f;
  p.advantages.assign(kSequences, one);
  p.weights.assign(p.rows(), one);
  PolicyCall same(p), expanded(p);
  same.run();
  const std::int64_t of_sequences[] = {kSequences}, of_tokens[] = {kSequences, kTokens},
                     none[] = {0, 0};
  expanded.args.advantages = Tensor::strided(&one, DType::f32, of_sequences, std::span(none, 1));
  expanded.args.importance_weights = Tensor::strided(&one, DType::f32, of_tokens, none);
  EXPECT_TRUE(same_results(expanded.run(), same));
}

// [T, V] is one sequence: its value has no dimension, or one of one element.
TEST(PolicyLossLayout, OneSequence) {
  for (const std::int64_t tokens : {1, 5}) {
    Policy p = policy_batch({.ratio_level = RatioLevel::sequence}, 1, tokens, 300, 9);
    p.weights = {0.5f};
    PolicyCall first(p);
    first.run();
    for (const int rank : {0, 1}) {
      PolicyCall got(p);
      for (Tensor* t : {&got.args.logits, &got.args.grad_logits, &got.args.targets,
                        &got.args.old_per_token_logps, &got.args.ref_per_token_logps,
                        &got.args.per_token_loss, &got.args.per_token_logps, &got.args.per_token_kl,
                        &got.args.entropy, &got.args.row_status})
        drop_first_dimension(*t);
      got.args.advantages.rank = got.args.importance_weights.rank = rank;
      EXPECT_TRUE(same_results(got.run(), first)) << tokens << " " << rank;
    }
  }
}

}  // namespace
}  // namespace logsum::test
