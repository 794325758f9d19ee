// SPDX-License-Identifier: Apache-2.0
// policy_loss with every output asked for: what a batch is made of, the call in some layout, and
// the comparison of its results to the bit. Outputs hold 99 before the call.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "logsum/policy_loss.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"
#include "support/outputs.hpp"

namespace logsum::test {

// A batch of sequences: of `tokens` each, or packed where `offsets` (cu_seqlens) is given. Empty
// vectors are absent tensors.
struct Policy {
  std::int64_t sequences = 1, tokens = 1, columns = 2;
  std::vector<std::int64_t> offsets;
  DType dtype = DType::f32;
  std::vector<std::vector<float>> logits;  // as the dtype holds them
  std::vector<std::int64_t> targets;
  std::vector<float> advantages;  // of sequences or tokens
  std::vector<float> old, ref, sampling, weights, temperatures;
  std::vector<std::uint8_t> mask, entropy_mask;
  PolicyOptions options;
  float temperature = 1;
  double normalizer = 0, entropy_normalizer = 0, grad_scale = 1;
  std::int64_t ignore_index = -100;
  std::int64_t vocab_size = 0;

  std::size_t rows() const { return logits.size(); }
  std::size_t begin_of(std::int64_t sequence) const {
    return static_cast<std::size_t>(offsets.empty() ? sequence * tokens
                                                    : offsets[static_cast<std::size_t>(sequence)]);
  }
  std::int64_t sequence_of(std::size_t row) const {
    for (std::int64_t i = 0;; ++i)
      if (begin_of(i + 1) > row) return i;
  }
  bool counts(std::size_t row) const {
    return (mask.empty() || mask[row] != 0) && targets[row] != ignore_index;
  }
  bool keeps_loss(std::size_t row) const { return entropy_mask.empty() || entropy_mask[row] != 0; }
  bool is_per_sequence(const std::vector<float>& values) const { return values.size() != rows(); }
  // A value of the row, or of its sequence.
  float of_token(const std::vector<float>& values, std::size_t row) const {
    return values[is_per_sequence(values) ? static_cast<std::size_t>(sequence_of(row)) : row];
  }
  float temperature_of(std::size_t row) const {
    return temperatures.empty() ? temperature : temperatures[row];
  }
};

// How the tensors lie.
struct PolicyForm {
  DType grad = DType::f32;
  bool in_place = false;
  std::int64_t padding = 0, misalign = 0;  // of the rows of logits and gradients
};

inline Layout layout_of(const Policy& p, const PolicyForm& form) {
  return {"rows", -1, [=](std::int64_t rows, std::int64_t columns) {
            const std::int64_t stride = columns + form.padding;
            if (!p.offsets.empty())
              return Layout::Place{{rows, columns}, {stride, 1}, form.misalign};
            return Layout::Place{
                {p.sequences, p.tokens, columns}, {p.tokens * stride, stride, 1}, form.misalign};
          }};
}

// Arguments for a batch and memory of their results; `args` may be changed before a call.
class PolicyCall {
 public:
  explicit PolicyCall(const Policy& policy, const PolicyForm& form = {})
      : p(policy),
        logits(layout_of(p, form), std::int64_t(p.rows()), p.columns, p.dtype),
        grad(layout_of(p, form), std::int64_t(p.rows()), p.columns, form.grad),
        token_loss(p.rows(), 99),
        logps(p.rows(), 99),
        kl(p.rows(), 99),
        entropy(p.rows(), 99),
        metrics(kPolicyMetrics, 99),
        status(p.rows(), 99),
        in_place_(form.in_place) {
    logits.set_all(p.logits);
    args.logits = logits.tensor();
    args.targets = tokens(p.targets);
    args.advantages = tokens_or_sequences(p.advantages);
    if (!p.mask.empty()) args.completion_mask = tokens(p.mask);
    if (!p.offsets.empty())
      args.cu_seqlens = Tensor::of(p.offsets.data(), {std::int64_t(p.offsets.size())});
    if (!p.old.empty()) args.old_per_token_logps = tokens(p.old);
    if (!p.ref.empty()) args.ref_per_token_logps = tokens(p.ref);
    if (!p.sampling.empty()) args.sampling_per_token_logps = tokens(p.sampling);
    if (!p.weights.empty()) args.importance_weights = tokens_or_sequences(p.weights);
    if (!p.entropy_mask.empty()) args.entropy_mask = tokens(p.entropy_mask);
    args.loss = Tensor::of(&loss, {});
    args.per_token_loss = tokens(token_loss);
    args.per_token_logps = tokens(logps);
    args.per_token_kl = tokens(kl);
    args.entropy = tokens(entropy);
    args.metrics = Tensor::of(metrics.data(), {kPolicyMetrics});
    args.row_status = tokens(status);
    args.grad_logits = gradients().tensor();
    args.options = p.options;
    args.temperature = p.temperature;
    if (!p.temperatures.empty()) args.temperature = tokens(p.temperatures);
    args.normalizer = p.normalizer;
    args.entropy_normalizer = p.entropy_normalizer;
    args.grad_scale = p.grad_scale;
    args.ignore_index = p.ignore_index;
    args.vocab_size = p.vocab_size;
  }
  PolicyCall(const PolicyCall&) = delete;
  PolicyCall& operator=(const PolicyCall&) = delete;

  PolicyCall& run(const Context& context = {}) {
    must(on::policy_loss(args, context));
    EXPECT_TRUE(logits.canaries_live() && grad.canaries_live());
    return *this;
  }

  Rows& gradients() { return in_place_ ? logits : grad; }
  const Rows& gradients() const { return in_place_ ? logits : grad; }
  RowStatus status_of(std::size_t row) const { return static_cast<RowStatus>(status[row]); }
  double metric(PolicyMetric m) const { return metrics[static_cast<std::size_t>(m)]; }
  bool gradient_is(std::size_t row, float value) const {
    for (const float x : gradients().row(std::int64_t(row)))
      if (std::isnan(value) ? !std::isnan(x) : !same_bits(x, value)) return false;
    return true;
  }

  Policy p;
  Rows logits, grad;
  double loss = 99;
  std::vector<float> token_loss, logps, kl, entropy;
  std::vector<double> metrics;
  std::vector<std::int32_t> status;
  PolicyLossArgs args;

 private:
  template <class T>
  Tensor tokens(const std::vector<T>& values) const {
    EXPECT_EQ(values.size(), p.rows());
    if (!p.offsets.empty()) return Tensor::of(values.data(), {std::int64_t(p.rows())});
    return Tensor::of(values.data(), {p.sequences, p.tokens});
  }
  Tensor tokens_or_sequences(const std::vector<float>& values) const {
    if (!p.is_per_sequence(values)) return tokens(values);
    EXPECT_EQ(std::int64_t(values.size()), p.sequences);
    return Tensor::of(values.data(), {p.sequences});
  }

  bool in_place_;
};

// Row i of a call and row j of another: all that is the row's own, to the bit.
inline ::testing::AssertionResult same_row(const PolicyCall& a, std::size_t i, const PolicyCall& b,
                                           std::size_t j) {
  const char* differs = nullptr;
  if (!same_bits(a.token_loss[i], b.token_loss[j])) differs = "per_token_loss";
  if (!same_bits(a.logps[i], b.logps[j])) differs = "per_token_logps";
  if (!same_bits(a.kl[i], b.kl[j])) differs = "per_token_kl";
  if (!same_bits(a.entropy[i], b.entropy[j])) differs = "entropy";
  if (a.status[i] != b.status[j]) differs = "row_status";
  const std::int64_t columns = std::min(a.p.columns, b.p.columns);
  for (std::int64_t k = 0; k < columns; ++k)
    if (!same_bits(a.gradients().get(std::int64_t(i), k), b.gradients().get(std::int64_t(j), k)))
      differs = "grad_logits";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_totals(const PolicyCall& a, const PolicyCall& b) {
  if (std::memcmp(&a.loss, &b.loss, sizeof a.loss) != 0)
    return ::testing::AssertionFailure() << "loss is " << a.loss << " and " << b.loss;
  if (std::memcmp(a.metrics.data(), b.metrics.data(), kPolicyMetrics * sizeof(double)) != 0)
    return ::testing::AssertionFailure() << "metrics differ";
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult same_results(const PolicyCall& a, const PolicyCall& b) {
  for (std::size_t i = 0; i < a.p.rows(); ++i)
    if (auto same = same_row(a, i, b, i); !same) return same;
  return same_totals(a, b);
}

}  // namespace logsum::test
