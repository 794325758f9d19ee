// SPDX-License-Identifier: Apache-2.0
// Bytes to a batch for policy_loss: shapes, layout, optional tensors, options, special values. All
// is legal but what only the data can tell.
#pragma once

#include <deque>
#include <limits>
#include <vector>

#include "fuzz/bytes.hpp"
#include "logsum/logsum.hpp"

namespace logsum::fuzz {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A number of the call that is a value or a tensor of one element.
struct Scalar {
  double value = 0;
  DType dtype = DType::f64;
  bool is_tensor = false;
};

struct Batch {
  std::int64_t sequences = 1, tokens = 1, columns = 1, rows = 1;
  std::vector<std::int64_t> cuts;  // packed where there are any
  DType dtype = DType::f32;
  std::vector<std::uint8_t> logits;  // rows of `columns`
  std::vector<std::int64_t> targets;
  std::vector<float> advantages, weights;  // of tokens or sequences
  std::vector<float> old, ref, sampling, temperatures;
  std::vector<std::uint8_t> mask, entropy_mask;
  PolicyOptions options;
  float temperature = 1;
  Scalar normalizer, entropy_normalizer, grad_scale{1};
  std::int64_t ignore_index = -100, vocab_size = 0;

  // How tensors lie: between rows, before the first, whether tokens lie backwards; i32 or i64.
  std::int64_t padding = 0, misalign = 0;
  bool is_backwards = false, in_place = false, has_i32 = false;
  DType grad = DType::f32;

  std::int64_t used() const { return vocab_size > 0 ? vocab_size : columns; }
  bool counts(std::size_t row) const {
    return (mask.empty() || mask[row] != 0) && targets[row] != ignore_index;
  }
  bool keeps_loss(std::size_t row) const { return entropy_mask.empty() || entropy_mask[row] != 0; }
};

// Offsets of log-probs from one another, advantages, weights: none of them brings a value onto a
// bound of take_options(), where the two sides of a comparison may part.
inline float take_value(Bytes& bytes, float scale) {
  const auto kind = bytes.take<std::uint8_t>();
  switch (kind) {
    case 255: return bytes.take<float>();
    case 254: return kInf;
    case 253: return -kInf;
    case 252: return kNan;
    case 251: return 3e38f;
    case 250: return -3e38f;
    case 249: return 1e-40f;
    case 248: return 0;
    default: return static_cast<float>(kind - 124) * scale;
  }
}

inline void take_shape(Bytes& bytes, Batch& b) {
  constexpr DType kDtypes[] = {DType::f32, DType::bf16, DType::f16};
  b.dtype = kDtypes[bytes.below(3)];
  const int shape = bytes.below(8);
  b.sequences = bytes.below(4);
  b.tokens = bytes.below(5);
  b.rows = b.sequences * b.tokens;
  if (shape % 2 == 1) {
    b.cuts = {0};
    for (std::int64_t i = 0; i < b.sequences; ++i) b.cuts.push_back(b.cuts.back() + bytes.below(5));
    b.rows = b.cuts.back();
  }
  b.columns = 1 + bytes.take<std::uint16_t>() % (shape < 6 ? 70 : 5000);
  if (bytes.one_in(4)) b.vocab_size = 1 + bytes.take<std::uint16_t>() % b.columns;
  const int layout = bytes.below(32);
  b.padding = layout % 4 == 1 ? 3 : layout % 4 == 2 ? 16 : 0;
  b.misalign = layout / 4 % 2;
  b.is_backwards = layout / 8 % 2 == 1;
  b.has_i32 = layout / 16 == 1;
  b.grad = bytes.one_in(2) ? b.dtype : DType::f32;
  b.in_place = b.grad == b.dtype && bytes.one_in(3);
}

// A row repeats a stretch of at most 32 given values: few bytes reach all lanes, chunks and tiles.
inline void take_logits(Bytes& bytes, Batch& b) {
  const std::size_t unit = size_of(b.dtype), columns = static_cast<std::size_t>(b.columns);
  b.logits.resize(static_cast<std::size_t>(b.rows) * columns * unit);
  for (std::size_t row = 0; row < static_cast<std::size_t>(b.rows); ++row) {
    const bool is_raw = bytes.one_in(8);
    std::uint8_t stretch[32][4];
    const std::size_t period = 1 + static_cast<std::size_t>(bytes.below(32));
    for (std::size_t i = 0; i < period; ++i) {
      const float z = is_raw ? 0 : take_value(bytes, 0.25f);
      const BFloat16 narrow(z);
      const Half half(z);
      const auto raw = is_raw ? bytes.take<std::uint32_t>() : 0;
      std::memcpy(stretch[i],
                  is_raw                   ? static_cast<const void*>(&raw)
                  : b.dtype == DType::bf16 ? static_cast<const void*>(&narrow)
                  : b.dtype == DType::f16  ? static_cast<const void*>(&half)
                                           : static_cast<const void*>(&z),
                  unit);
    }
    for (std::size_t i = 0; i < columns; ++i)
      std::memcpy(&b.logits[(row * columns + i) * unit], stretch[i / (1 + i / 1024) % period],
                  unit);
  }
}

// As a tensor of one of the first `dtypes`.
inline Scalar take_scalar(Bytes& bytes, double usual, int dtypes) {
  Scalar s{usual};
  const int kind = bytes.below(16);
  constexpr DType kDtypes[] = {DType::f64, DType::f32, DType::i32, DType::i64};
  if (kind == 1) s.value = 7;
  if (kind == 2) s.value = 0.0625;
  if (kind == 3) s.value = 1e30;
  if (kind == 4) s.value = 1e-30;
  if (kind < 8) return s;
  s.is_tensor = true;
  s.dtype = kDtypes[kind % dtypes];
  const bool is_real = s.dtype == DType::f32 || s.dtype == DType::f64;
  s.value = is_real && bytes.one_in(4) ? static_cast<double>(take_value(bytes, 1)) : bytes.below(9);
  return s;
}

inline void take_options(Bytes& bytes, Batch& b) {
  PolicyOptions& o = b.options;
  // In (0, 4], never a multiple of 1/32.
  const auto share = [&] { return (static_cast<float>(bytes.below(255)) + 0.61f) / 64; };
  const auto maybe = [&](float& field, float least) {
    if (bytes.one_in(4)) field = least + share();
  };
  o.objective = static_cast<Objective>(bytes.below(6));
  const bool may_be_sequence = o.objective < Objective::gmpo;
  if (may_be_sequence) o.ratio_level = static_cast<RatioLevel>(bytes.below(2));
  o.aggregation = static_cast<Aggregation>(bytes.below(4));
  o.epsilon_low = share() / 4;
  o.epsilon_high = share();
  maybe(o.delta, 1 + (o.objective == Objective::clip ? o.epsilon_high : 0));
  maybe(o.dual_clip, 1);
  o.cispo_bounds = static_cast<CispoBounds>(bytes.below(2));
  maybe(o.sapo_tau_pos, 0);
  maybe(o.sapo_tau_neg, 0);
  maybe(o.vespo_k_pos, 0);
  maybe(o.vespo_lambda_pos, 0);
  maybe(o.vespo_k_neg, 0);
  maybe(o.vespo_lambda_neg, 0);
  maybe(o.log_ratio_clamp, 0);
  maybe(o.beta, 0);
  o.kl_estimator = static_cast<KlEstimator>(bytes.below(4));
  o.use_bias_correction_kl = bytes.one_in(3);
  maybe(o.kl_input_clamp, 0);
  maybe(o.kl_output_clamp, 0);
  if (bytes.one_in(3)) o.entropy_coef = share() - 2;
  maybe(o.off_policy_threshold, -2);
  o.count_empty_sequences = !bytes.one_in(3);
  b.normalizer = take_scalar(bytes, 0, 4);
  b.entropy_normalizer = take_scalar(bytes, 0, 4);
  b.grad_scale = take_scalar(bytes, 1, 2);
  b.temperature = 0.25f * static_cast<float>(1 + bytes.below(12));
}

// `logps`: the targets' log-probs, near which other policies' lie.
inline void take_tokens(Bytes& bytes, Batch& b, const std::vector<float>& logps) {
  const auto n = static_cast<std::size_t>(b.rows);
  const bool is_gmpo = b.options.objective == Objective::gmpo;
  const auto near_logps = [&](std::vector<float>& values, float shift = 0) {
    for (std::size_t i = 0; i < n; ++i) {
      const float by = take_value(bytes, 1.0f / 32) + shift;
      values.push_back(std::fabs(by) <= 4 && std::isfinite(logps[i]) ? logps[i] + by : by);
    }
  };
  const auto numbers = [&](std::vector<float>& values, float scale) {
    const std::size_t count = bytes.one_in(2) ? n : static_cast<std::size_t>(b.sequences);
    for (std::size_t i = 0; i < count; ++i) {
      const float value = take_value(bytes, scale);
      // 0·∞ is 0 or NaN, and gmpo clips by a NaN's sign or doesn't, as the backend likes: the token
      // is overflow either way.
      const bool is_odd = std::isinf(value) || (std::isnan(value) && is_gmpo);
      values.push_back(is_odd ? 3e38f : value);
    }
  };
  const auto flags = [&](std::vector<std::uint8_t>& values) {
    for (std::size_t i = 0; i < n; ++i) values.push_back(static_cast<std::uint8_t>(bytes.below(5)));
  };
  const auto present = bytes.take<std::uint8_t>();
  numbers(b.advantages, 1.0f / 16);
  if (present & 1) near_logps(b.old);
  if (present & 2 || b.options.beta != 0) near_logps(b.ref, 1.0f / 64);  // KL 0 times NaN
  if (present & 4) near_logps(b.sampling);
  if (present & 8) numbers(b.weights, 1.0f / 32);
  if (present & 16) flags(b.mask);
  if (present & 32) flags(b.entropy_mask);
}

inline void take_targets(Bytes& bytes, Batch& b) {
  const bool ignores = bytes.one_in(2);
  if (ignores) b.ignore_index = bytes.below(8);
  const bool any = bytes.one_in(4);
  for (std::int64_t i = 0; i < b.rows; ++i) {
    const auto target = bytes.take<std::int16_t>();
    b.targets.push_back(any ? target : std::abs(std::int64_t{target}) % b.used());
  }
  if (!bytes.one_in(4)) return;
  for (std::int64_t i = 0; i < b.rows; ++i) {
    const float t = take_value(bytes, 1.0f / 32);
    b.temperatures.push_back(bytes.one_in(8) ? t : std::fabs(t));
  }
}

}  // namespace logsum::fuzz
