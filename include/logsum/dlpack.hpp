// SPDX-License-Identifier: Apache-2.0
// Tensor from and to DLPack's DLTensor. Templates over the struct, so that the caller's own
// dlpack.h, of any version, is used and logsum needs none.
#pragma once

#include <algorithm>
#include <iterator>
#include <span>

#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

namespace detail {

// DLPack's (type code, bits) for each of our dtypes: kDLInt 0, kDLUInt 1, kDLFloat 2, kDLBfloat 4,
// kDLBool 6.
struct DlpackType {
  DType dtype;
  int code, bits;
};
inline constexpr DlpackType kDlpackTypes[] = {
    {DType::f32, 2, 32}, {DType::f16, 2, 16}, {DType::bf16, 4, 16}, {DType::f64, 2, 64},
    {DType::i32, 0, 32}, {DType::i64, 0, 64}, {DType::u8, 1, 8},    {DType::boolean, 6, 8}};

}  // namespace detail

// Views a DLTensor's memory. Null strides mean row-major; byte_offset is folded into the pointer.
template <class DLTensorT>
[[nodiscard]] Status from_dlpack(const DLTensorT& dl, Tensor& tensor) noexcept {
  if (dl.ndim < 0 || dl.ndim > kMaxRank)
    return Status::error(StatusCode::invalid_argument,
                         "from_dlpack: ndim is %d, must be in [0, %d]", static_cast<int>(dl.ndim),
                         kMaxRank);
  const auto* type = std::find_if(std::begin(detail::kDlpackTypes), std::end(detail::kDlpackTypes),
                                  [&](const auto& t) {
                                    return t.code == static_cast<int>(dl.dtype.code) &&
                                           t.bits == static_cast<int>(dl.dtype.bits);
                                  });
  if (type == std::end(detail::kDlpackTypes) || dl.dtype.lanes != 1)
    return Status::error(
        StatusCode::unsupported,
        "from_dlpack: dtype (code %d, bits %d, lanes %d) is not one of f32, f16, bf16, "
        "f64, i32, i64, u8, bool",
        static_cast<int>(dl.dtype.code), static_cast<int>(dl.dtype.bits),
        static_cast<int>(dl.dtype.lanes));
  const auto rank = static_cast<std::size_t>(dl.ndim);
  const std::span<const std::int64_t> shape(dl.shape, rank);
  void* data = dl.data ? static_cast<char*>(dl.data) + dl.byte_offset : nullptr;
  const Device device{static_cast<DeviceType>(dl.device.device_type), dl.device.device_id};
  tensor = dl.strides ? Tensor::strided(data, type->dtype, shape,
                                        std::span<const std::int64_t>(dl.strides, rank), device)
                      : Tensor::contiguous(data, type->dtype, shape, device);
  return {};
}

// Describes a tensor as a DLTensor, whose shape and strides point into `tensor`.
template <class DLTensorT>
DLTensorT to_dlpack(Tensor& tensor) noexcept {
  DLTensorT dl{};
  dl.data = tensor.data;
  dl.device.device_type = static_cast<decltype(dl.device.device_type)>(tensor.device.type);
  dl.device.device_id = tensor.device.index;
  dl.ndim = tensor.rank;
  for (const detail::DlpackType& type : detail::kDlpackTypes) {
    if (type.dtype != tensor.dtype) continue;
    dl.dtype.code = static_cast<decltype(dl.dtype.code)>(type.code);
    dl.dtype.bits = static_cast<decltype(dl.dtype.bits)>(type.bits);
  }
  dl.dtype.lanes = 1;
  dl.shape = tensor.shape;
  dl.strides = tensor.strides;
  dl.byte_offset = 0;
  return dl;
}

}  // namespace logsum
