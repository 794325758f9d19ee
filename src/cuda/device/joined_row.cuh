// SPDX-License-Identifier: Apache-2.0
// The records of a row of at most kMostClusterTiles in the registers of one warp, a few neighbours
// per thread: what a draw needs first, what its log-prob needs after.
#pragma once

#include <climits>

#include "cuda/device/row.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

template <bool kMoment>
class JoinedRow {
 public:
  __device__ __forceinline__ JoinedRow(const TileRecord* records, int tiles, std::int64_t columns)
      : each_((tiles + kWarp - 1) / kWarp),
        first_(warp_lane() * each_),
        mass_shift_(logsum::mass_shift(columns)) {
    int n[kMost];
    bool plain = true;
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      tiles_[k] = TileRecord();
      if (k < each_ && first_ + k < tiles) tiles_[k] = records[first_ + k];
      plain &= tiles_[k].sum == tiles_[k].sum && fabs(tiles_[k].n) <= kFarReference;
      n[k] = tiles_[k].sum > 0 ? __double2int_rn(tiles_[k].n) : INT_MIN;
      n_ = ::max(n_, n[k]);
    }
    n_ = warp_max(n_);
    is_plain_ = __all_sync(~0u, plain) && n_ != INT_MIN;
#pragma unroll
    for (int k = 0; k < kMost; ++k)
      mass_[k] = n[k] == INT_MIN ? 0 : shifted(tiles_[k].sum, mass_shift_ - (n_ - n[k]));
  }

  // Has mass, no NaN, and references that are small integers: nothing else holds of other rows.
  __device__ __forceinline__ bool is_plain() const { return is_plain_; }

  // Before draws can be chosen.
  __device__ __forceinline__ void scan() { before_ = warp_prefix_sum(mass()) - mass(); }

  // The mass of all tiles.
  __device__ __forceinline__ std::uint64_t total() const { return warp_sum(mass()); }

  // The draw's tile, the part of its mass below the draw, and its mass: true in the one thread that
  // has the tile.
  __device__ __forceinline__ bool choose(std::uint64_t target, int& tile, std::uint64_t& part,
                                         std::uint64_t& mass) const {
    std::uint64_t below = before_;
    tile = -1;
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      if (target - below < mass_[k]) {
        tile = first_ + k;
        part = target - below;
        mass = mass_[k];
      }
      below += mass_[k];
    }
    return tile >= 0;
  }

  // Into what is known of the same row at another temperature.
  __device__ __forceinline__ void put_mass(RowMeasure& measure) const {
    measure.n = n_;
    measure.mass = total();
  }

  __device__ __forceinline__ RowMeasure measure() const {
    RowMeasure measure;
    float max = kNegInf;
    int max_tile = INT_MAX;
#pragma unroll
    for (int k = 0; k < kMost; ++k)
      if (tiles_[k].max > max) {
        max = tiles_[k].max;
        max_tile = first_ + k;
      }
    measure.max = from_order(warp_max(order_of(max + 0.0f)));
    measure.max_tile = warp_min(max == measure.max ? max_tile : INT_MAX);
    measure.mass_shift = mass_shift_;
    put_mass(measure);
    if constexpr (kMoment) {
      std::uint64_t moment = 0;
#pragma unroll
      for (int k = 0; k < kMost; ++k)
        moment += static_cast<std::uint64_t>(tile_moment(tiles_[k], measure));
      measure.moment = static_cast<std::int64_t>(warp_sum(moment));
    }
    return measure;
  }

 private:
  static constexpr int kMost = kMostClusterTiles / kWarp;

  __device__ __forceinline__ std::uint64_t mass() const {
    std::uint64_t sum = 0;
#pragma unroll
    for (int k = 0; k < kMost; ++k) sum += mass_[k];
    return sum;
  }

  int each_, first_;
  int mass_shift_;
  int n_ = INT_MIN;
  TileRecord tiles_[kMost];
  std::uint64_t mass_[kMost];
  std::uint64_t before_;
  bool is_plain_;
};

}  // namespace logsum::cuda
