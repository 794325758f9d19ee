// SPDX-License-Identifier: Apache-2.0
// The CTA that ends last goes on with what the others have left in global memory.
#pragma once

#include <bit>

#include "cuda/device/warp.cuh"

namespace logsum::cuda {

// Whether all other CTAs of the launch have called it too. All threads call. `counter`: 0 before
// the launch and after it.
__device__ __forceinline__ bool is_last_block(unsigned* counter) {
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    __threadfence();
    is_last = atomicAdd(counter, 1) + 1 == gridDim.x;
    if (is_last) *counter = 0;
    __threadfence();
  }
  __syncthreads();
  return is_last;
}

// What another CTA has written: not by loads that this one's L1 may answer.
template <class T>
__device__ __forceinline__ T load_past_l1(const T* from) {
  static_assert(sizeof(T) % 8 == 0);
  struct Words {
    unsigned long long word[sizeof(T) / 8];
  } words;
  const auto* const p = reinterpret_cast<const unsigned long long*>(from);
#pragma unroll
  for (unsigned i = 0; i < sizeof(T) / 8; ++i) words.word[i] = __ldcg(p + i);
  return std::bit_cast<T>(words);
}

}  // namespace logsum::cuda
