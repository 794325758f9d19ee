// SPDX-License-Identifier: Apache-2.0
#include "logsum/tensor.hpp"

#include <algorithm>

namespace logsum {

Tensor Tensor::strided(void* data, DType dtype, std::span<const std::int64_t> shape,
                       std::span<const std::int64_t> strides, Device device) noexcept {
  Tensor tensor;
  tensor.data = data;
  tensor.dtype = dtype;
  tensor.device = device;
  // A rank beyond kMaxRank is kept, so that an operation can refuse it by name.
  tensor.rank = static_cast<std::int32_t>(shape.size());
  const int stored = std::min<int>(tensor.rank, kMaxRank);
  std::copy_n(shape.begin(), stored, tensor.shape);
  std::copy_n(strides.begin(), std::min<std::size_t>(strides.size(), stored), tensor.strides);
  return tensor;
}

Tensor Tensor::contiguous(void* data, DType dtype, std::span<const std::int64_t> shape,
                          Device device) noexcept {
  std::int64_t strides[kMaxRank] = {};
  std::uint64_t stride = 1;  // may wrap: an operation refuses such a shape
  for (int i = std::min<int>(static_cast<int>(shape.size()), kMaxRank) - 1; i >= 0; --i) {
    strides[i] = static_cast<std::int64_t>(stride);
    stride *= static_cast<std::uint64_t>(shape[i]);
  }
  return strided(data, dtype, shape,
                 std::span(strides, std::min<std::size_t>(shape.size(), kMaxRank)), device);
}

}  // namespace logsum
