// SPDX-License-Identifier: Apache-2.0
// Batches of sequences for losses, and the parts of a call that all losses have: logits and
// gradients in some layout, targets, results per token. Outputs hold 99 before the call.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "logsum/row_status.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"
#include "support/outputs.hpp"

namespace logsum::test {

// Sequences of `tokens` each, or packed where `offsets` (cu_seqlens) is given. Empty vectors are
// absent tensors.
struct LossBatch {
  std::int64_t sequences = 1, tokens = 1, columns = 2;
  std::vector<std::int64_t> offsets;
  DType dtype = DType::f32;
  std::vector<std::vector<float>> logits;  // as the dtype holds them
  std::vector<std::int64_t> targets;
  std::vector<float> temperatures;
  std::vector<std::uint8_t> mask;
  float temperature = 1;
  double normalizer = 0, grad_scale = 1;
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
  float temperature_of(std::size_t row) const {
    return temperatures.empty() ? temperature : temperatures[row];
  }
};

template <class T>
void keep(std::vector<T>& values, const std::vector<std::size_t>& indices) {
  if (values.empty()) return;
  std::vector<T> kept;
  for (const std::size_t i : indices) kept.push_back(values[i]);
  values = kept;
}

// Some rows, of what all losses have; each batch has an overload for the rest.
inline void keep_rows(LossBatch& p, const std::vector<std::size_t>& rows) {
  keep(p.logits, rows);
  keep(p.targets, rows);
  keep(p.temperatures, rows);
  keep(p.mask, rows);
}

// The rows that count, and cu_seqlens of these alone.
inline std::vector<std::int64_t> offsets_of_kept(const LossBatch& p,
                                                 std::vector<std::size_t>& rows) {
  rows.clear();
  std::vector<std::int64_t> offsets = {0};
  for (std::int64_t b = 0; b < p.sequences; ++b) {
    for (std::size_t i = p.begin_of(b); i < p.begin_of(b + 1); ++i)
      if (p.counts(i)) rows.push_back(i);
    offsets.push_back(std::int64_t(rows.size()));
  }
  return offsets;
}

template <class Batch>
Batch with_rows(Batch p, const std::vector<std::size_t>& rows) {
  keep_rows(p, rows);
  return p;
}

// Of a padded batch only the tokens that count, packed; and their rows there.
template <class Batch>
Batch packed(const Batch& p, std::vector<std::size_t>& rows) {
  const std::vector<std::int64_t> offsets = offsets_of_kept(p, rows);
  Batch result = with_rows(p, rows);
  result.offsets = offsets;
  result.mask.clear();
  return result;
}

// How the tensors lie.
struct LossForm {
  DType grad = DType::f32;
  bool in_place = false;
  std::int64_t padding = 0, misalign = 0;  // of the rows of logits and gradients
};

inline Layout layout_of(const LossBatch& p, const LossForm& form) {
  return {"rows", -1, [=](std::int64_t rows, std::int64_t columns) {
            const std::int64_t stride = columns + form.padding;
            if (!p.offsets.empty())
              return Layout::Place{{rows, columns}, {stride, 1}, form.misalign};
            return Layout::Place{
                {p.sequences, p.tokens, columns}, {p.tokens * stride, stride, 1}, form.misalign};
          }};
}

// Memory of a call's inputs and results.
template <class Batch>
class LossTensors {
 public:
  LossTensors(const Batch& batch, const LossForm& form, int metric_count)
      : p(batch),
        logits(layout_of(p, form), std::int64_t(p.rows()), p.columns, p.dtype),
        grad(layout_of(p, form), std::int64_t(p.rows()), p.columns, form.grad),
        logps(p.rows(), 99),
        metrics(static_cast<std::size_t>(metric_count), 99),
        status(p.rows(), 99),
        in_place_(form.in_place) {
    logits.set_all(p.logits);
  }
  LossTensors(const LossTensors&) = delete;
  LossTensors& operator=(const LossTensors&) = delete;

  Rows& gradients() { return in_place_ ? logits : grad; }
  const Rows& gradients() const { return in_place_ ? logits : grad; }
  RowStatus status_of(std::size_t row) const { return static_cast<RowStatus>(status[row]); }
  template <class Metric>
  double metric(Metric m) const {
    return metrics[static_cast<std::size_t>(m)];
  }
  bool gradient_is(std::size_t row, float value) const {
    for (const float x : gradients().row(std::int64_t(row)))
      if (std::isnan(value) ? !std::isnan(x) : !same_bits(x, value)) return false;
    return true;
  }

  Batch p;
  Rows logits, grad;
  double loss = 99;
  std::vector<float> logps;
  std::vector<double> metrics;
  std::vector<std::int32_t> status;

 protected:
  // What all losses take and give.
  template <class Args>
  void fill(Args& args) {
    args.logits = logits.tensor();
    args.targets = of_tokens(p.targets);
    if (!p.mask.empty()) args.completion_mask = of_tokens(p.mask);
    if (!p.offsets.empty())
      args.cu_seqlens = Tensor::of(p.offsets.data(), {std::int64_t(p.offsets.size())});
    args.loss = Tensor::of(&loss, {});
    args.per_token_logps = of_tokens(logps);
    args.metrics = Tensor::of(metrics.data(), {std::int64_t(metrics.size())});
    args.row_status = of_tokens(status);
    args.grad_logits = gradients().tensor();
    args.options = p.options;
    args.temperature = p.temperature;
    if (!p.temperatures.empty()) args.temperature = of_tokens(p.temperatures);
    args.normalizer = p.normalizer;
    args.grad_scale = p.grad_scale;
    args.ignore_index = p.ignore_index;
    args.vocab_size = p.vocab_size;
  }
  template <class T>
  Tensor of_tokens(const std::vector<T>& values) const {
    EXPECT_EQ(values.size(), p.rows());
    if (!p.offsets.empty()) return Tensor::of(values.data(), {std::int64_t(p.rows())});
    return Tensor::of(values.data(), {p.sequences, p.tokens});
  }
  template <class T>
  Tensor of_sequences(const std::vector<T>& values) const {
    EXPECT_EQ(std::int64_t(values.size()), p.sequences);
    return Tensor::of(values.data(), {p.sequences});
  }

 private:
  bool in_place_;
};

// What a row of one call and a row of another have in common, to the bit; null: all of it.
template <class Batch>
const char* row_difference(const LossTensors<Batch>& a, std::size_t i, const LossTensors<Batch>& b,
                           std::size_t j) {
  if (!same_bits(a.logps[i], b.logps[j])) return "per_token_logps";
  if (a.status[i] != b.status[j]) return "row_status";
  const std::int64_t columns = std::min(a.p.columns, b.p.columns);
  for (std::int64_t k = 0; k < columns; ++k)
    if (!same_bits(a.gradients().get(std::int64_t(i), k), b.gradients().get(std::int64_t(j), k)))
      return "grad_logits";
  return nullptr;
}

template <class Batch>
::testing::AssertionResult same_totals(const LossTensors<Batch>& a, const LossTensors<Batch>& b) {
  if (std::memcmp(&a.loss, &b.loss, sizeof a.loss) != 0)
    return ::testing::AssertionFailure() << "loss is " << a.loss << " and " << b.loss;
  if (std::memcmp(a.metrics.data(), b.metrics.data(), a.metrics.size() * sizeof(double)) != 0)
    return ::testing::AssertionFailure() << "metrics differ";
  return ::testing::AssertionSuccess();
}

}  // namespace logsum::test
