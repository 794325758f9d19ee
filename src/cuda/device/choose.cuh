// SPDX-License-Identifier: Apache-2.0
// A row's tiles as a cdf of exact integers: TileChooser (core/results.hpp) by a warp. The masses up
// to and with each tile take the place of its record's sums, which are joined by then.
#pragma once

#include "cuda/device/row.cuh"

namespace logsum::cuda {

class TileMasses {
 public:
  // Of the joined records of a row.
  __device__ __forceinline__ TileMasses(TileRecord* records, int tiles, const RowMeasure& row)
      : records_(records), tiles_(tiles), mass_(row.mass) {
    std::uint64_t before = 0;
    for (int first = 0; first < tiles; first += kWarp) {
      const int i = first + warp_lane();
      const std::uint64_t mass = i < tiles ? mass_of_tile(load_record(records + i), row) : 0;
      const std::uint64_t above = before + warp_prefix_sum(mass);
      if (i < tiles) *word(i) = above;
      before = __shfl_sync(~0u, above, kWarp - 1);
    }
    __syncwarp();
  }

  // Each thread its own draw.
  __device__ __forceinline__ TileChoice choose(std::uint64_t bits) const {
    const std::uint64_t target = portion(bits, mass_);
    int low = 0, high = tiles_ - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (*word(middle) > target)
        high = middle;
      else
        low = middle + 1;
    }
    return {low, target, low > 0 ? *word(low - 1) : 0, *word(low)};
  }

 private:
  // Where sum and moment were. Volatile as load_record.
  __device__ volatile unsigned long long* word(int i) const {
    static_assert(offsetof(TileRecord, sum) == 8 && offsetof(TileRecord, max) == 16);
    return reinterpret_cast<volatile unsigned long long*>(records_ + i) + 1;
  }

  TileRecord* records_;
  int tiles_;
  std::uint64_t mass_;
};

}  // namespace logsum::cuda
