// SPDX-License-Identifier: Apache-2.0
// What all losses have in common after validation.
#pragma once

#include <cmath>
#include <limits>

#include "core/rows.hpp"

namespace logsum {

// One value, on the host or, in any of four dtypes, on the tensors' device.
struct ScalarView {
  double value = 0;
  ElementsView tensor;

  LOGSUM_HOST_DEVICE double operator()() const {
    if (!tensor) return value;
    const bool is_real = tensor.dtype == DType::f32 || tensor.dtype == DType::f64;
    return is_real ? tensor.real(0) : static_cast<double>(tensor.integer(0));
  }
};

LOGSUM_HOST_DEVICE inline bool is_finite(double x) {
  return std::fabs(x) <= std::numeric_limits<double>::max();
}
LOGSUM_HOST_DEVICE inline bool is_normalizer(double n) { return n >= 0 && is_finite(n); }
LOGSUM_HOST_DEVICE inline bool fits_f32(double x) {
  return std::fabs(x) <= static_cast<double>(std::numeric_limits<float>::max());
}

// One f32 or f64.
LOGSUM_HOST_DEVICE inline void set_scalar(const ElementsView& view, double value) {
  if (!view) return;
  if (view.dtype == DType::f64)
    *reinterpret_cast<double*>(view.data) = value;
  else
    view.set(0, static_cast<float>(value));
}

// Lays arrays out from `memory`, or counts their bytes.
class Layout {
 public:
  static constexpr std::size_t kAlign = 16;
  static constexpr std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlign - 1) / kAlign * kAlign;
  }

  explicit Layout(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <class T>
  void take(T*& pointer, std::size_t count) {
    pointer = reinterpret_cast<T*>(memory_ + used_);
    used_ += aligned(count * sizeof(T));
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

}  // namespace logsum
