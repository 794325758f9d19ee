// SPDX-License-Identifier: Apache-2.0
// Tensor: a small view with DLPack's meaning (pointer, dtype, device, shape, strides in elements).
// It owns nothing and carries no constness: each operation's contract says which tensors it writes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "logsum/dtype.hpp"
#include "logsum/export.h"

namespace logsum {

// Values are DLPack's DLDeviceType.
enum class DeviceType : std::int32_t { cpu = 1, cuda = 2 };

struct Device {
  DeviceType type = DeviceType::cpu;
  std::int32_t index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

inline constexpr int kMaxRank = 8;

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Device device = {};
  std::int32_t rank = 0;
  std::int64_t shape[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};  // in elements; may be 0 or negative where only read

  // An absent optional argument is a default-constructed Tensor. A tensor with no elements is
  // present as long as it has dimensions, whatever its pointer.
  bool present() const noexcept { return data != nullptr || rank != 0; }

  std::int64_t dim(int i) const noexcept { return shape[i < 0 ? rank + i : i]; }
  std::int64_t elements() const noexcept {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }

  // Row-major, contiguous.
  LOGSUM_API static Tensor contiguous(void* data, DType dtype, std::span<const std::int64_t> shape,
                                      Device device = {}) noexcept;
  LOGSUM_API static Tensor strided(void* data, DType dtype, std::span<const std::int64_t> shape,
                                   std::span<const std::int64_t> strides,
                                   Device device = {}) noexcept;

  template <class T>
  static Tensor of(T* data, std::initializer_list<std::int64_t> shape,
                   Device device = {}) noexcept {
    return contiguous(const_cast<std::remove_const_t<T>*>(data), dtype_of<T>,
                      std::span(shape.begin(), shape.size()), device);
  }
};

// A parameter that is one value for all rows, or a tensor with one value per row (a single element,
// or the leading dimensions of the operation's input).
template <class T>
struct PerRow {
  T value = {};
  Tensor tensor = {};

  constexpr PerRow() = default;
  constexpr PerRow(T v) noexcept : value(v) {}     // NOLINT: implicit by design
  PerRow(const Tensor& t) noexcept : tensor(t) {}  // NOLINT: implicit by design
};

}  // namespace logsum
