// SPDX-License-Identifier: Apache-2.0
// The sums of core/lane_sums.hpp by a warp or a CTA, a lane to each thread. Every thread gets them.
#pragma once

#include <bit>

#include "core/lane_sums.hpp"
#include "cuda/device/warp.cuh"

namespace logsum::cuda {

// Both of a pair add the same two, in either order: all threads end with the bits of the first.
template <class Sums>
__device__ __forceinline__ Sums fold_lanes(Sums sums, int count) {
  struct Words {
    unsigned long long word[sizeof(Sums) / sizeof(unsigned long long)];
  };
  for (int half = count / 2; half >= 1; half /= 2) {
    auto other = std::bit_cast<Words>(sums);
    for (unsigned long long& word : other.word) word = __shfl_xor_sync(~0u, word, half);
    sums.add(std::bit_cast<Sums>(other));
  }
  return sums;
}

struct WarpLanes {
  static_assert(kWarpLanes == kWarp);

  template <class Term>
  __device__ __forceinline__ auto operator()(std::int64_t count, const Term& term) const {
    decltype(term(count)) sums;
    for (std::int64_t i = warp_lane(); i < count; i += kWarp) sums.add(term(i));
    return fold_lanes(sums, kWarp);
  }
};

// By a CTA of kBlockLanes threads.
struct BlockLanes {
  template <class Term>
  __device__ __forceinline__ auto operator()(std::int64_t count, const Term& term) const {
    using Sums = decltype(term(count));
    constexpr int kWarps = kBlockLanes / kWarp;
    __shared__ Shared<Sums> of_warps[kWarps];
    Sums sums;
    for (std::int64_t i = threadIdx.x; i < count; i += kBlockLanes) sums.add(term(i));
    sums = fold_lanes(sums, kWarp);
    __syncthreads();  // all have read what the last call left
    if (warp_lane() == 0) *of_warps[threadIdx.x / kWarp] = sums;
    __syncthreads();
    return fold_lanes(*of_warps[threadIdx.x % kWarps], kWarps);
  }
};

}  // namespace logsum::cuda
