// SPDX-License-Identifier: Apache-2.0
// A Batch's call of policy_loss with every output, in the batch's layout.
#pragma once

#include <algorithm>

#include "fuzz/policy_batch.hpp"

namespace logsum::fuzz {

struct Results {
  double loss = 0, metrics[kPolicyMetrics] = {};
  std::vector<float> token_loss, logps, kl, entropy;
  std::vector<std::int32_t> status;
  std::vector<float> gradient;  // [rows, columns]
};

class Call {
 public:
  explicit Call(const Batch& b) : b_(b) {
    const auto n = static_cast<std::size_t>(b.rows);
    for (auto* values : {&r_.token_loss, &r_.logps, &r_.kl, &r_.entropy}) values->assign(n, 99);
    r_.status.assign(n, 99);
    logits_ = rows_in(b.dtype);
    place_rows();
    if (!b.in_place) gradient_ = rows_in(b.grad);
  }

  Results run(const Context& context) {
    PolicyLossArgs a;
    a.logits = rows(logits_, b_.dtype);
    a.targets = b_.has_i32 ? tokens(narrow(b_.targets)) : tokens(b_.targets);
    a.advantages = numbers(b_.advantages);
    a.completion_mask = optional(b_.mask);
    narrow_cuts_ = narrow(b_.cuts);
    if (!b_.cuts.empty()) a.cu_seqlens = b_.has_i32 ? vector(narrow_cuts_) : vector(b_.cuts);
    a.old_per_token_logps = optional(b_.old);
    a.ref_per_token_logps = optional(b_.ref);
    a.sampling_per_token_logps = optional(b_.sampling);
    if (!b_.weights.empty()) a.importance_weights = numbers(b_.weights);
    a.entropy_mask = optional(b_.entropy_mask);
    a.loss = Tensor::of(&r_.loss, {1});
    a.per_token_loss = out(r_.token_loss);
    a.per_token_logps = out(r_.logps);
    a.per_token_kl = out(r_.kl);
    a.entropy = out(r_.entropy);
    a.metrics = Tensor::of(r_.metrics, {kPolicyMetrics});
    a.row_status = out(r_.status);
    std::vector<std::uint8_t>& gradient = b_.in_place ? logits_ : gradient_;
    a.grad_logits = rows(gradient, b_.grad);
    a.options = b_.options;
    a.temperature = b_.temperature;
    if (!b_.temperatures.empty()) a.temperature = tokens(b_.temperatures);
    a.normalizer = scalar(b_.normalizer);
    a.entropy_normalizer = scalar(b_.entropy_normalizer);
    a.grad_scale = scalar(b_.grad_scale);
    a.ignore_index = b_.ignore_index;
    a.vocab_size = b_.vocab_size;
    must(policy_loss(a, context));
    read_gradient(gradient);
    return r_;
  }

 private:
  static constexpr std::uint8_t kUntouched = 0xa5;

  std::int64_t stride() const { return b_.columns + b_.padding; }

  std::vector<std::uint8_t> rows_in(DType dtype) const {
    return std::vector<std::uint8_t>(
        static_cast<std::size_t>(b_.misalign + b_.rows * stride()) * size_of(dtype), kUntouched);
  }

  std::uint8_t* row_of(std::vector<std::uint8_t>& memory, DType dtype, std::int64_t row) const {
    return memory.data() + static_cast<std::size_t>(b_.misalign + row * stride()) * size_of(dtype);
  }

  void place_rows() {
    const std::size_t bytes = static_cast<std::size_t>(b_.columns) * size_of(b_.dtype);
    for (std::int64_t i = 0; i < b_.rows; ++i)
      std::memcpy(row_of(logits_, b_.dtype, i),
                  b_.logits.data() + static_cast<std::size_t>(i) * bytes, bytes);
  }

  void read_gradient(std::vector<std::uint8_t>& memory) {
    const std::size_t unit = size_of(b_.grad);
    for (std::int64_t i = 0; i < b_.rows; ++i) {
      const std::uint8_t* row = row_of(memory, b_.grad, i);
      for (std::int64_t j = 0; j < b_.columns; ++j)
        r_.gradient.push_back(value_at(row + static_cast<std::size_t>(j) * unit));
      const std::uint8_t* gap = row + static_cast<std::size_t>(b_.columns) * unit;
      const std::uint8_t* end = gap + static_cast<std::size_t>(b_.padding) * unit;
      if (std::any_of(gap, end, [](std::uint8_t x) { return x != kUntouched; }))
        fail("gradient written between rows, at", static_cast<double>(i), 0);
    }
  }

  float value_at(const std::uint8_t* at) const {
    float wide;
    BFloat16 narrow;
    Half half;
    switch (b_.grad) {
      case DType::bf16: std::memcpy(&narrow, at, sizeof narrow); return static_cast<float>(narrow);
      case DType::f16: std::memcpy(&half, at, sizeof half); return static_cast<float>(half);
      default: std::memcpy(&wide, at, sizeof wide); return wide;
    }
  }

  Tensor rows(std::vector<std::uint8_t>& memory, DType dtype) const {
    std::uint8_t* data = memory.data() + static_cast<std::size_t>(b_.misalign) * size_of(dtype);
    if (!b_.cuts.empty())
      return Tensor::strided(data, dtype, std::vector<std::int64_t>{b_.rows, b_.columns},
                             std::vector<std::int64_t>{stride(), 1});
    return Tensor::strided(data, dtype,
                           std::vector<std::int64_t>{b_.sequences, b_.tokens, b_.columns},
                           std::vector<std::int64_t>{b_.tokens * stride(), stride(), 1});
  }

  static std::vector<std::int32_t> narrow(const std::vector<std::int64_t>& values) {
    return {values.begin(), values.end()};
  }

  template <class T>
  static Tensor vector(const std::vector<T>& values) {
    return Tensor::of(values.data(), {static_cast<std::int64_t>(values.size())});
  }

  template <class T>
  Tensor out(std::vector<T>& values) const {
    if (!b_.cuts.empty()) return vector(values);
    return Tensor::of(values.data(), {b_.sequences, b_.tokens});
  }

  // In their order, or last first with negative strides.
  template <class T>
  Tensor tokens(const std::vector<T>& values) {
    std::vector<std::uint8_t>& copy = copies_.emplace_back(values.size() * sizeof(T));
    for (std::size_t i = 0; i < values.size(); ++i)
      std::memcpy(&copy[(b_.is_backwards ? values.size() - 1 - i : i) * sizeof(T)], &values[i],
                  sizeof(T));
    const std::int64_t step = b_.is_backwards ? -1 : 1;
    std::uint8_t* first =
        copy.data() + (b_.is_backwards && !values.empty() ? copy.size() - sizeof(T) : 0);
    if (!b_.cuts.empty())
      return Tensor::strided(first, dtype_of<T>, std::vector<std::int64_t>{b_.rows},
                             std::vector<std::int64_t>{step});
    return Tensor::strided(first, dtype_of<T>, std::vector<std::int64_t>{b_.sequences, b_.tokens},
                           std::vector<std::int64_t>{step * b_.tokens, step});
  }
  template <class T>
  Tensor optional(const std::vector<T>& values) {
    return values.empty() && b_.rows > 0 ? Tensor() : tokens(values);
  }
  Tensor numbers(const std::vector<float>& values) {
    return static_cast<std::int64_t>(values.size()) == b_.rows ? tokens(values) : vector(values);
  }

  PerRow<double> scalar(const Scalar& s) {
    if (!s.is_tensor) return s.value;
    std::vector<std::uint8_t>& copy = copies_.emplace_back(8);
    const auto hold = [&](auto value) { std::memcpy(copy.data(), &value, sizeof value); };
    switch (s.dtype) {
      case DType::f32: hold(static_cast<float>(s.value)); break;
      case DType::i32: hold(static_cast<std::int32_t>(s.value)); break;
      case DType::i64: hold(static_cast<std::int64_t>(s.value)); break;
      default: hold(s.value);
    }
    return Tensor::contiguous(copy.data(), s.dtype, std::vector<std::int64_t>{1});
  }

  const Batch& b_;
  Results r_;
  std::vector<std::uint8_t> logits_, gradient_;
  std::vector<std::int32_t> narrow_cuts_;
  std::deque<std::vector<std::uint8_t>> copies_;
};

}  // namespace logsum::fuzz
