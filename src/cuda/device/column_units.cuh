// SPDX-License-Identifier: Apache-2.0
// The columns of a tile that a draw fell into as exact integers, so that sums and prefix sums of
// them have no order: the same definition as the CPU's (src/cpu/tile_cdf.hpp).
#pragma once

#include "cuda/device/far_tile.cuh"

namespace logsum::cuda {

// In units of 2^-38 of its tile's reference, a tile's weights sum to less than 2^51.
inline constexpr float kDrawUnits = 0x1p38f;
// Sums are kept of every row of a chunk.
inline constexpr int kDrawBlock = kLanes;
inline constexpr int kDrawBlocks = kTile / kDrawBlock;

// Units of the columns of a chunk whose maximum is known, in a tile of reference n. −∞ has none.
template <class Exp>
class ColumnUnits {
 public:
  __device__ __forceinline__ ColumnUnits(float max, double n, const TileTemperature& temperature)
      : reference_(max, temperature),
        temperature_(temperature),
        factor_(max > kNegInf ? drop_factor(reference_.n - n) : 0.0f) {}

  __device__ bool is_far() const { return reference_.is_far; }

  // Of −∞ none either: it is clamped 64 binades below the maximum. All factors are powers of two.
  __device__ __forceinline__ std::uint64_t near(float z) const {
    const float w = Exp(reference_.near).template operator()<true>(z, reference_.near).w;
    return __float2ull_rn(__fmul_rn(w, __fmul_rn(factor_, Exp::kUnit * kDrawUnits)));
  }
  __device__ std::uint64_t far(float z) const {
    const float w = far_weight(z, reference_.n, temperature_).w;
    return z > kNegInf ? __float2ull_rn(__fmul_rn(__fmul_rn(w, factor_), kDrawUnits)) : 0;
  }

 private:
  FarReference reference_;
  TileTemperature temperature_;
  float factor_;
};

// Of some of a thread's columns.
struct ThreadUnits {
  std::uint64_t of[kPositions];
};
struct ThreadLogits {
  float of[kPositions];
};

// By value and not inlined: rare, and what is indexed in a loop lies in memory.
template <class Exp>
__device__ __noinline__ ThreadUnits far_units_of(ColumnUnits<Exp> units, ThreadLogits logits) {
  ThreadUnits result;
#pragma unroll 1
  for (int i = 0; i < kPositions; ++i) result.of[i] = units.far(logits.of[i]);
  return result;
}

template <class Exp>
__device__ __forceinline__ ThreadUnits units_of(const ColumnUnits<Exp>& units,
                                                const ThreadLogits& logits) {
  ThreadUnits result;
  if (units.is_far()) {
    const ThreadUnits far = far_units_of(units, logits);
#pragma unroll
    for (int i = 0; i < kPositions; ++i) result.of[i] = far.of[i];
  } else {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) result.of[i] = units.near(logits.of[i]);
  }
  return result;
}

// A thread's sum of a row of a far chunk. Not inlined: rare.
template <DType kDType, class Exp>
__device__ __noinline__ std::uint64_t sum_far_units(Chunk<kDType> chunk, ColumnUnits<Exp> units,
                                                    int wanted) {
  std::uint64_t sum = 0;
#pragma unroll
  for (int row = 0; row < kChunkRows; ++row)
#pragma unroll
    for (int i = 0; i < kPositions; ++i)
      if (row == wanted) sum += units.far(chunk.value(row, i));
  return sum;
}

// masses[row]: the units of a chunk's rows, each summed over the warp.
template <DType kDType, class Exp>
__device__ __forceinline__ void sum_units(const Chunk<kDType>& chunk, const ColumnUnits<Exp>& units,
                                          unsigned long long* masses) {
  std::uint64_t sums[kChunkRows] = {};
  if (units.is_far()) {
#pragma unroll 1
    for (int row = 0; row < kChunkRows; ++row) {
      const std::uint64_t sum = sum_far_units(chunk, units, row);
#pragma unroll
      for (int r = 0; r < kChunkRows; ++r) sums[r] = r == row ? sum : sums[r];
    }
  } else {
#pragma unroll
    for (int row = 0; row < kChunkRows; ++row)
#pragma unroll
      for (int i = 0; i < kPositions; ++i) sums[row] += units.near(chunk.value(row, i));
  }
#pragma unroll
  for (int row = 0; row < kChunkRows; ++row) sums[row] = warp_sum(sums[row]);
  if (warp_lane() != 0) return;
#pragma unroll
  for (int row = 0; row < kChunkRows; ++row) masses[row] = sums[row];
}

// A share of a tile's mass, in units; less than `total`, which isn't 0.
__device__ __forceinline__ std::uint64_t units_of_share(double share, std::uint64_t total) {
  const auto scaled = static_cast<std::uint64_t>(share * static_cast<double>(total));
  return scaled < total ? scaled : total - 1;
}

// Where a share of a tile's mass is reached: the block, and what is left of the share in it. The
// same for the whole warp.
struct BlockTarget {
  int block;             // −1: the share isn't in [0, 1], or the tile has no mass
  std::uint64_t target;  // within the block

  // `mass`: of a tile's blocks.
  __device__ __forceinline__ BlockTarget(const unsigned long long* mass, double share) {
    const std::uint64_t above = warp_prefix_sum(warp_lane() < kDrawBlocks ? mass[warp_lane()] : 0);
    const std::uint64_t total = __shfl_sync(~0u, above, kDrawBlocks - 1);
    block = -1;
    target = 0;
    if (!(share >= 0 && share <= 1) || total == 0) return;
    const std::uint64_t in_tile = units_of_share(share, total);
    block = __ffs(static_cast<int>(__ballot_sync(~0u, above > in_tile))) - 1;
    target = in_tile - (block > 0 ? __shfl_sync(~0u, above, block - 1) : 0);
  }
};

}  // namespace logsum::cuda
