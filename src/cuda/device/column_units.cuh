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

  __device__ __forceinline__ std::uint64_t near(float z) const {
    const float w =
        Exp(reference_.near).template operator()<true>(z, reference_.near).w * Exp::kUnit;
    return z > kNegInf ? in_units(w) : 0;
  }
  __device__ std::uint64_t far(float z) const {
    return z > kNegInf ? in_units(far_weight(z, reference_.n, temperature_).w) : 0;
  }

 private:
  __device__ __forceinline__ std::uint64_t in_units(float w) const {
    return __float2ull_rn(__fmul_rn(__fmul_rn(w, factor_), kDrawUnits));
  }

  FarReference reference_;
  TileTemperature temperature_;
  float factor_;
};

// Units of a thread's values. Of a far chunk one after the other: rare.
template <class Exp>
__device__ __forceinline__ void units_of(const ColumnUnits<Exp>& units,
                                         const float (&values)[kPositions],
                                         std::uint64_t (&result)[kPositions]) {
#pragma unroll
  for (int i = 0; i < kPositions; ++i) result[i] = units.near(values[i]);
  if (units.is_far())
#pragma unroll 1
    for (int i = 0; i < kPositions; ++i) result[i] = units.far(values[i]);
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
    const auto scaled = static_cast<std::uint64_t>(share * static_cast<double>(total));
    const std::uint64_t in_tile = scaled < total ? scaled : total - 1;
    block = __ffs(static_cast<int>(__ballot_sync(~0u, above > in_tile))) - 1;
    target = in_tile - (block > 0 ? __shfl_sync(~0u, above, block - 1) : 0);
  }
};

}  // namespace logsum::cuda
