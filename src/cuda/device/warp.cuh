// SPDX-License-Identifier: Apache-2.0
// What a warp does together.
#pragma once

#include <cstddef>

#include "cuda/device/ptx.cuh"

namespace logsum::cuda {

inline constexpr int kWarp = 32;

// A T in shared memory, where no constructor runs.
template <class T>
struct Shared {
  alignas(T) unsigned char bytes[sizeof(T)];
  __device__ __forceinline__ T& operator*() { return *reinterpret_cast<T*>(bytes); }
};

__device__ __forceinline__ int warp_lane() { return static_cast<int>(threadIdx.x % kWarp); }

template <class T, class Join>
__device__ __forceinline__ T warp_reduce(T value, const Join& join) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value = join(value, __shfl_xor_sync(~0u, value, offset));
  return value;
}

// Order of floats as order of integers; the canonical NaN is above all.
__device__ __forceinline__ int order_of(float x) {
  const int bits = __float_as_int(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
__device__ __forceinline__ float from_order(int order) {
  return __int_as_float(order ^ ((order >> 31) & 0x7fffffff));
}
__device__ __forceinline__ float warp_max_or_nan(float x) {
  return from_order(warp_max(order_of(x)));
}

// Σ over the threads up to and with this one.
__device__ __forceinline__ std::uint64_t warp_prefix_sum(std::uint64_t x) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const std::uint64_t before = __shfl_up_sync(~0u, x, offset);
    if (warp_lane() >= offset) x += before;
  }
  return x;
}

}  // namespace logsum::cuda
