// SPDX-License-Identifier: Apache-2.0
// A call's small tensors as a kernel gets them. What is needed of tensors whose rows follow each
// other at one distance lies together: each first touch of a line of the parameters costs a decode
// step some hundred nanoseconds. The threads of a warp look up one tensor each.
#pragma once

#include "core/rows.hpp"

namespace logsum::cuda {

// One element per row, or `inner` of them; what a thread needs to write or read it.
struct Place {
  std::byte* at;
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

template <int kCount>
class DeviceViews {
 public:
  void set(int i, const ElementsView& view) {
    flat_[i] = {view.data, view.inner_bytes, view.index.flat_stride(), view.dtype,
                view.index.is_flat()};
    index_[i] = view.index;
  }

  LOGSUM_HOST_DEVICE bool has(int i) const { return flat_[i].data != nullptr; }

  LOGSUM_HOST_DEVICE Place place(int i, std::int64_t row) const {
    const Flat& flat = flat_[i];
    if (flat.data == nullptr) return {nullptr, 0, DType::f32};
    const std::int64_t offset = flat.is_flat ? row * flat.row_bytes : index_[i].offset(row);
    return {flat.data + offset, flat.inner_bytes, flat.dtype};
  }

 private:
  struct Flat {
    std::byte* data = nullptr;
    std::int64_t inner_bytes = 0, row_bytes = 0;
    DType dtype = DType::f32;
    bool is_flat = true;
  };
  Flat flat_[kCount];
  RowIndex index_[kCount];
};

}  // namespace logsum::cuda
