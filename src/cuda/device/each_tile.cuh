// SPDX-License-Identifier: Apache-2.0
// Kernels that take the tiles of all rows one by one, a warp each, in any order.
#pragma once

#include "core/measure.hpp"
#include "cuda/device/warp.cuh"

namespace logsum::cuda {

struct TileGrid {
  std::int64_t rows, tiles;
  bool rows_first;  // neighbouring warps take neighbouring rows: those whose columns lie apart
};

// body(row, tile)
template <class Body>
__device__ __forceinline__ void for_each_tile(const TileGrid& grid, const Body& body) {
  const std::int64_t warps_per_block = blockDim.x / kWarp;
  const std::int64_t step = gridDim.x * warps_per_block;
#pragma unroll 1
  for (std::int64_t i = blockIdx.x * warps_per_block + threadIdx.x / kWarp;
       i < grid.rows * grid.tiles; i += step) {
    if (grid.rows_first)
      body(i % grid.rows, i / grid.rows);
    else
      body(i / grid.tiles, i % grid.tiles);
  }
}

}  // namespace logsum::cuda
