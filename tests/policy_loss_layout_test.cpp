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
  struct Strides {
    std::int64_t of_sequence, of_token, first;
  };
  for (const Strides& s : {Strides{1, kSequences, 0}, Strides{-kTokens, -1, 29}, Strides{13, 2, 1},
                           Strides{-1, kSequences, 5}})
    for (const RatioLevel level : {RatioLevel::token, RatioLevel::sequence}) {
      const Policy p = full_batch({.ratio_level = level});
      PolicyCall first(p), got(p);
      first.run();
      std::vector<Elsewhere> moved;
      std::vector<Tensor*> tensors;
      for (Tensor* t :
           {&got.args.targets, &got.args.completion_mask, &got.args.entropy_mask,
            &got.args.old_per_token_logps, &got.args.ref_per_token_logps,
            &got.args.sampling_per_token_logps, &got.args.importance_weights,
            &got.args.temperature.tensor, &got.args.per_token_loss, &got.args.per_token_logps,
            &got.args.per_token_kl, &got.args.entropy, &got.args.row_status})
        tensors.push_back(t);
      for (const Tensor* t : tensors) moved.emplace_back(*t, s.of_sequence, s.of_token, s.first);
      for (std::size_t i = 0; i < tensors.size(); ++i) *tensors[i] = moved[i].tensor();
      std::vector<double> metrics(2 * kPolicyMetrics, 99);
      got.args.metrics.data = metrics.data();
      got.args.metrics.strides[0] = 2;
      got.run();
      for (std::size_t i = 8; i < tensors.size(); ++i) moved[i].copy_back();
      for (std::size_t i = 0; i < got.metrics.size(); ++i) {
        got.metrics[i] = metrics[2 * i];
        EXPECT_EQ(metrics[2 * i + 1], 99);
      }
      EXPECT_TRUE(same_results(got, first)) << s.of_sequence;
    }
}

// [2, 3, T, V] is six sequences; their values may be strided or one value for all.
TEST(PolicyLossLayout, MoreDimensions) {
  Policy p = full_batch({.ratio_level = RatioLevel::sequence});
  p.weights.resize(kSequences);
  PolicyCall first(p), got(p);
  first.run();
  for (Tensor* t : tensors_of(got.args)) {
    if (t->rank < 1 || t->shape[0] != kSequences) continue;
    for (int i = t->rank++; i > 0; --i) {
      t->shape[i] = t->shape[i - 1];
      t->strides[i] = t->strides[i - 1];
    }
    t->shape[0] = 2;
    t->shape[1] = 3;
    t->strides[0] = 3 * t->strides[1];
  }
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
                        &got.args.entropy, &got.args.row_status}) {
        --t->rank;
        for (int i = 0; i < t->rank; ++i) {
          t->shape[i] = t->shape[i + 1];
          t->strides[i] = t->strides[i + 1];
        }
      }
      got.args.advantages.rank = got.args.importance_weights.rank = rank;
      EXPECT_TRUE(same_results(got.run(), first)) << tokens << " " << rank;
    }
  }
}

}  // namespace
}  // namespace logsum::test
