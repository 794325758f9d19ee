// SPDX-License-Identifier: Apache-2.0
// The columns among which a draw ends: a block of 256, eight neighbours per thread.
#pragma once

#include "cuda/device/column_units.cuh"

namespace logsum::cuda {

// The logits of eight columns from p on, of which `left` exist; the others are −∞.
template <DType kDType>
__device__ __forceinline__ void load_columns(const std::byte* p, int left, ThreadLogits& logits) {
  if (left >= kPositions && reinterpret_cast<std::uintptr_t>(p) % 16 == 0) {
    if constexpr (kDType == DType::f32) {
      const float4 a = __ldg(reinterpret_cast<const float4*>(p));
      const float4 b = __ldg(reinterpret_cast<const float4*>(p) + 1);
      const float both[] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < kPositions; ++i) logits.of[i] = both[i];
    } else {
      const uint4 v = __ldg(reinterpret_cast<const uint4*>(p));
      const unsigned words[] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int i = 0; i < kPositions; ++i)
        logits.of[i] = from_two_bytes(words[i / 2] >> (i % 2 * 16) & 0xffffu, kDType);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kPositions; ++i)
      logits.of[i] =
          i < left ? load_element(p + i * static_cast<int>(size_of(kDType)), kDType) : kNegInf;
  }
}

template <DType kDType>
class DrawBlock {
 public:
  // Block `block` of the tile at z, of which `columns` exist.
  __device__ __forceinline__ void load(const std::byte* z, int block, int columns) {
    first_ = block * kDrawBlock + warp_lane() * kPositions;
    load_columns<kDType>(z + first_ * static_cast<int>(size_of(kDType)), columns - first_, logits_);
  }

  // The block's units.
  template <class Exp>
  __device__ __forceinline__ std::uint64_t sum(const ColumnUnits<Exp>& units) {
    units_ = units_of(units, logits_);
    std::uint64_t mine = 0;
#pragma unroll
    for (int i = 0; i < kPositions; ++i) mine += units_.of[i];
    const std::uint64_t end = warp_prefix_sum(mine);
    before_ = end - mine;
    return __shfl_sync(~0u, end, kWarp - 1);
  }

  // Where the units, summed from the block's first column, pass `target`: true in the thread that
  // has the column. Its number is that in the tile.
  __device__ __forceinline__ bool find(std::uint64_t target, int& column, float& logit) const {
    std::uint64_t end = before_;
    column = first_;
    logit = logits_.of[0];
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      if (end <= target) {
        column = first_ + i;
        logit = logits_.of[i];
      }
      end += units_.of[i];
    }
    return before_ <= target && target < end;
  }

 private:
  int first_;
  ThreadLogits logits_;
  ThreadUnits units_;
  std::uint64_t before_;
};

}  // namespace logsum::cuda
