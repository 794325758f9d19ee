// SPDX-License-Identifier: Apache-2.0
// Launches of kernels that take the tiles of all rows one by one (device/each_tile.cuh).
#pragma once

#include <algorithm>
#include <initializer_list>

#include "core/rows.hpp"
#include "cuda/device/each_tile.cuh"
#include "cuda/launch_kernel.hpp"
#include "cuda/schedule.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {

inline constexpr int kTileWarps = 8;  // of a CTA, at most

// Of tensors with the same rows and columns.
inline TileGrid grid_of(std::initializer_list<const RowsView*> views) {
  TileGrid grid{};
  for (const RowsView* view : views) {
    grid.rows = view->rows;
    grid.tiles = tile_count(view->columns);
    grid.rows_first |= view->stride != 1;
  }
  return grid;
}

// kernel(grid, arguments…). Few tiles are spread over all processors; of many each warp takes
// several, so that what it keeps of a row is made once for some of its tiles.
template <class... Parameters, class... Arguments>
Status launch_tiles(void (*kernel)(TileGrid, Parameters...), const TileGrid& grid,
                    const Context& context, const Arguments&... arguments) {
  DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(limits_of_device(limits));
  constexpr std::int64_t kWaves = 8;
  const std::int64_t tiles = grid.rows * grid.tiles;
  const std::int64_t processors = limits.processors;
  const std::int64_t warps =
      std::clamp<std::int64_t>((tiles + processors - 1) / processors, 1, kTileWarps);
  const std::int64_t blocks = std::min((tiles + warps - 1) / warps, kWaves * processors);
  return launch_kernel(kernel, static_cast<unsigned>(blocks), static_cast<unsigned>(warps * kWarp),
                       0, context, grid, arguments...);
}

// kernel(arguments…, tiles per CTA) on the tiles of dense rows: a CTA takes so many that follow
// each other, `most` or fewer, that `blocks` CTAs per processor have work.
template <class... Parameters, class... Arguments>
Status launch_runs_of_tiles(void (*kernel)(Parameters...), const RowsView& rows, int threads,
                            int blocks, std::int64_t most, const Context& context,
                            const Arguments&... arguments) {
  DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(limits_of_device(limits));
  const std::int64_t tiles = rows.rows * tile_count(rows.columns);
  const std::int64_t per_block =
      std::clamp<std::int64_t>(tiles / (blocks * limits.processors), 1, most);
  return launch_kernel(kernel, static_cast<unsigned>((tiles + per_block - 1) / per_block),
                       static_cast<unsigned>(threads), 0, context, arguments...,
                       static_cast<int>(per_block));
}

}  // namespace logsum::cuda
