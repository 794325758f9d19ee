// SPDX-License-Identifier: Apache-2.0
// draw on the GPU: a warp per row, which looks at the tile of each choice that lies in the shard.
#include "core/backend.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/device/row.cuh"
#include "cuda/device/tile_cdf.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/with_kind.hpp"
#include "ops/shards.hpp"

namespace logsum::cuda {
namespace {

template <DType kDType>
__device__ float max_of_tile(const WarpRow<kDType>& logits, int tile) {
  float max = kNegInf;
  logits.each_value_of_tile(tile, [&](int, float z) { max = fmaxf(max, z); });
  return warp_reduce(max, [](float a, float b) { return fmaxf(a, b); });
}

// Choices are bytes from elsewhere: one that doesn't fit this row and temperature draws nothing.
template <DType kDType, class Exp>
__global__ __launch_bounds__(kGridThreads) void draw_kernel(const __grid_constant__ DrawPlan plan) {
  __shared__ TileCdfSpace spaces[kGridThreads / kWarp];
  TileCdfSpace& space = spaces[threadIdx.x / kWarp];
  each_by_warp(plan.logits.rows, [&](std::int64_t row) {
    const WarpRow<kDType> logits(plan.logits, row);
    const float t = plan.temperature(row);
    const bool draws = is_valid_temperature(t);
    TileCdf<kDType, Exp> cdf(space, TileTemperature(t));
    int built = -1;
    for (std::int64_t k = 0; k < plan.choices.count; ++k) {
      const DrawChoice choice = plan.choices.row(row)[k];
      const std::int64_t tile = choice.tile < 0 ? -1 : choice.tile - plan.vocab_start / kTile;
      int column = -1;
      if (tile >= 0 && tile < logits.tiles() && (draws || t == 0.0f)) {
        if (choice.share < 0) {
          column = choice.column;
        } else if (draws) {
          if (tile != built) {
            built = static_cast<int>(tile);
            cdf.build(logits.tile(tile), logits.tile_columns(tile), tile == 0,
                      max_of_tile(logits, built));
          }
          column = cdf.find(choice.share).column;
        }
        if (column >= logits.tile_columns(tile)) column = -1;
      }
      if (warp_lane() != 0) continue;
      const bool is_drawn = column >= 0;
      const float z = is_drawn ? logits.value(tile * kTile + column) : kNegInf;
      const RowNorm norm(choice.half_max, choice.two_over_t, choice.log_ratio);
      const float logprob = choice.share < 0 ? 0.0f : norm.logprob(z);
      plan.token.set_integer(row, k, is_drawn ? choice.tile * kTile + column : -1);
      plan.logprob.set(row, k, is_drawn ? logprob : kNegInf);
      plan.token_logit.set(row, k, z);
    }
  });
}

}  // namespace

Status draw(const DrawPlan& plan, const Context& context) {
  return with_kind(plan.logits.dtype, context, [&]<DType kDType, class Exp>() {
    return launch_kernel(&draw_kernel<kDType, Exp>,
                         grid_for(plan.logits.rows, kGridThreads / kWarp), kGridThreads, 0, context,
                         plan);
  });
}

}  // namespace logsum::cuda
