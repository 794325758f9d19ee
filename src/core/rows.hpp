// SPDX-License-Identifier: Apache-2.0
// Tensors after validation, as kernels want them: where row i of a tensor with any leading
// dimensions and strides begins, and typed loads and stores of single elements.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

// Of a stride. Strides that no element uses may be anything: the product may wrap.
inline std::int64_t in_bytes(std::int64_t stride, DType dtype) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(stride) * size_of(dtype));
}

// Offsets, in bytes, of the i-th entry (row-major) of the leading dimensions of a tensor.
class RowIndex {
 public:
  RowIndex() = default;

  // Dimensions that follow each other in memory are merged, so that the common case has one.
  RowIndex(const Tensor& tensor, int leading, DType dtype) {
    for (int i = 0; i < leading; ++i) {
      if (tensor.shape[i] == 1) continue;
      if (rank_ > 0 && stride_[rank_ - 1] == tensor.strides[i] * tensor.shape[i]) {
        shape_[rank_ - 1] *= tensor.shape[i];
        stride_[rank_ - 1] = tensor.strides[i];
      } else {
        shape_[rank_] = tensor.shape[i];
        stride_[rank_] = tensor.strides[i];
        ++rank_;
      }
    }
    for (int i = 0; i < rank_; ++i) stride_[i] = in_bytes(stride_[i], dtype);
  }

  LOGSUM_HOST_DEVICE std::int64_t offset(std::int64_t i) const {
    return rank_ <= 1 ? i * stride_[0] : offset_in_many(i);
  }

  // All of them are multiples of `bytes`.
  bool is_aligned(std::int64_t bytes) const {
    for (int i = 0; i < rank_; ++i)
      if (stride_[i] % bytes != 0) return false;
    return true;
  }

 private:
  LOGSUM_HOST_DEVICE LOGSUM_DEVICE_NOINLINE std::int64_t offset_in_many(std::int64_t i) const {
    std::int64_t offset = 0;
    for (int d = rank_ - 1; d >= 0; --d) {
      offset += i % shape_[d] * stride_[d];
      i /= shape_[d];
    }
    return offset;
  }

  int rank_ = 0;
  std::int64_t stride_[kMaxRank] = {};  // the first beside the rank: most often all that is read
  std::int64_t shape_[kMaxRank] = {};
};

// Rows of logits, or of something of their shape.
struct RowsView {
  std::byte* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t columns = 0;  // vocab_size
  std::int64_t stride = 1;   // between columns; only rows along a `dim` have another than 1
  RowIndex index;

  LOGSUM_HOST_DEVICE void* column(std::int64_t row, std::int64_t column) const {
    return data + index.offset(row) + column * stride * static_cast<std::int64_t>(size_of(dtype));
  }
};

// A row's elements of an optional tensor: one, or some `inner_bytes` apart.
struct Place {
  std::byte* at;  // null: absent
  std::int64_t inner_bytes;
  DType dtype;

  LOGSUM_HOST_DEVICE explicit operator bool() const { return at != nullptr; }

  LOGSUM_HOST_DEVICE std::int64_t integer(std::int64_t inner = 0) const {
    const std::byte* p = at + inner * inner_bytes;
    return dtype == DType::i32 ? *reinterpret_cast<const std::int32_t*>(p)
                               : *reinterpret_cast<const std::int64_t*>(p);
  }
  LOGSUM_HOST_DEVICE double real(std::int64_t inner = 0) const {
    const std::byte* p = at + inner * inner_bytes;
    return dtype == DType::f32 ? *reinterpret_cast<const float*>(p)
                               : *reinterpret_cast<const double*>(p);
  }

  // Writing to an absent output does nothing.
  LOGSUM_HOST_DEVICE void set(std::int64_t inner, float value) const {
    if (at) *reinterpret_cast<float*>(at + inner * inner_bytes) = value;
  }
  LOGSUM_HOST_DEVICE void set_integer(std::int64_t inner, std::int64_t value) const {
    if (!at) return;
    std::byte* p = at + inner * inner_bytes;
    if (dtype == DType::i32)
      *reinterpret_cast<std::int32_t*>(p) = static_cast<std::int32_t>(value);
    else
      *reinterpret_cast<std::int64_t*>(p) = value;
  }
};

// An optional tensor read or written one element at a time: [rows] or [rows, inner]. What is needed
// of rows at one distance lies together: a kernel fetches its parameters line by line.
struct ElementsView {
  std::byte* data = nullptr;
  std::int64_t inner_bytes = 0;  // between inner elements
  DType dtype = DType::f32;
  RowIndex index;

  LOGSUM_HOST_DEVICE explicit operator bool() const { return data != nullptr; }

  LOGSUM_HOST_DEVICE Place place(std::int64_t row) const {
    return {data == nullptr ? nullptr : data + index.offset(row), inner_bytes, dtype};
  }

  // An element as it lies in memory: a GPU's thread goes on until it needs it.
  template <class T>
  LOGSUM_HOST_DEVICE T raw(std::int64_t row) const {
    return *reinterpret_cast<const T*>(data + index.offset(row));
  }

  LOGSUM_HOST_DEVICE std::int64_t integer(std::int64_t row, std::int64_t inner = 0) const {
    return place(row).integer(inner);
  }
  LOGSUM_HOST_DEVICE double real(std::int64_t row, std::int64_t inner = 0) const {
    return place(row).real(inner);
  }
  LOGSUM_HOST_DEVICE void set(std::int64_t row, float value) const { place(row).set(0, value); }
  LOGSUM_HOST_DEVICE void set(std::int64_t row, std::int64_t inner, float value) const {
    place(row).set(inner, value);
  }
  LOGSUM_HOST_DEVICE void set_integer(std::int64_t row, std::int64_t inner,
                                      std::int64_t value) const {
    place(row).set_integer(inner, value);
  }
};

// Which elements count: where an optional bool or u8 isn't 0.
struct MaskView : ElementsView {
  LOGSUM_HOST_DEVICE bool counts(std::int64_t i) const {
    return data == nullptr || *reinterpret_cast<const std::uint8_t*>(place(i).at) != 0;
  }
};

// A parameter that is one value or one per row.
template <class T>
struct PerRowView {
  T value = {};
  ElementsView tensor = {};

  LOGSUM_HOST_DEVICE T operator()(std::int64_t row) const {
    if (!tensor) return value;
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(tensor.real(row));
    else
      return static_cast<T>(tensor.integer(row));
  }
};

}  // namespace logsum
