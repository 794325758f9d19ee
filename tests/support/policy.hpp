// SPDX-License-Identifier: Apache-2.0
// policy_loss with every output asked for: what a batch is made of, the call in some layout, and
// the comparison of its results to the bit. Outputs hold 99 before the call.
#pragma once

#include "logsum/policy_loss.hpp"
#include "support/loss_batch.hpp"

namespace logsum::test {

struct Policy : LossBatch {
  std::vector<float> advantages;  // of sequences or tokens
  std::vector<float> old, ref, sampling, weights;
  std::vector<std::uint8_t> entropy_mask;
  PolicyOptions options;
  double entropy_normalizer = 0;

  bool keeps_loss(std::size_t row) const { return entropy_mask.empty() || entropy_mask[row] != 0; }
  bool is_per_sequence(const std::vector<float>& values) const { return values.size() != rows(); }
  // A value of the row, or of its sequence.
  float of_token(const std::vector<float>& values, std::size_t row) const {
    return values[is_per_sequence(values) ? static_cast<std::size_t>(sequence_of(row)) : row];
  }
};

inline void keep_rows(Policy& p, const std::vector<std::size_t>& rows) {
  keep_rows(static_cast<LossBatch&>(p), rows);
  for (std::vector<float>* values : {&p.old, &p.ref, &p.sampling, &p.weights}) keep(*values, rows);
  keep(p.entropy_mask, rows);
}

using PolicyForm = LossForm;

// Arguments for a batch and memory of their results; `args` may be changed before a call.
class PolicyCall : public LossTensors<Policy> {
 public:
  explicit PolicyCall(const Policy& policy, const PolicyForm& form = {})
      : LossTensors(policy, form, kPolicyMetrics),
        token_loss(p.rows(), 99),
        kl(p.rows(), 99),
        entropy(p.rows(), 99) {
    fill(args);
    args.advantages = tokens_or_sequences(p.advantages);
    if (!p.old.empty()) args.old_per_token_logps = of_tokens(p.old);
    if (!p.ref.empty()) args.ref_per_token_logps = of_tokens(p.ref);
    if (!p.sampling.empty()) args.sampling_per_token_logps = of_tokens(p.sampling);
    if (!p.weights.empty()) args.importance_weights = tokens_or_sequences(p.weights);
    if (!p.entropy_mask.empty()) args.entropy_mask = of_tokens(p.entropy_mask);
    args.per_token_loss = of_tokens(token_loss);
    args.per_token_kl = of_tokens(kl);
    args.entropy = of_tokens(entropy);
    args.entropy_normalizer = p.entropy_normalizer;
  }

  PolicyCall& run(const Context& context = {}) {
    must(on::policy_loss(args, context));
    EXPECT_TRUE(logits.canaries_live() && grad.canaries_live());
    return *this;
  }

  std::vector<float> token_loss, kl, entropy;
  PolicyLossArgs args;

 private:
  Tensor tokens_or_sequences(const std::vector<float>& values) const {
    return p.is_per_sequence(values) ? of_sequences(values) : of_tokens(values);
  }
};

// Row i of a call and row j of another: all that is the row's own, to the bit.
inline ::testing::AssertionResult same_row(const PolicyCall& a, std::size_t i, const PolicyCall& b,
                                           std::size_t j) {
  const char* differs = row_difference(a, i, b, j);
  if (!same_bits(a.token_loss[i], b.token_loss[j])) differs = "per_token_loss";
  if (!same_bits(a.kl[i], b.kl[j])) differs = "per_token_kl";
  if (!same_bits(a.entropy[i], b.entropy[j])) differs = "entropy";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_results(const PolicyCall& a, const PolicyCall& b) {
  for (std::size_t i = 0; i < a.p.rows(); ++i)
    if (auto same = same_row(a, i, b, i); !same) return same;
  return same_totals(a, b);
}

}  // namespace logsum::test
