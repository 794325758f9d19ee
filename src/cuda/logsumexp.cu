// SPDX-License-Identifier: Apache-2.0
// logsumexp on the GPU: what is known of a measured row is the result. Its gradient is one launch.
// How large a tile's logits are decides how they are computed: a CTA keeps the tile in registers
// between looking and writing; where rows don't suit that, a warp reads it twice.
#include "ops/logsumexp.hpp"

#include "core/backend.hpp"
#include "cuda/device/emit.cuh"
#include "cuda/launch_tiles.cuh"
#include "cuda/measured_rows.hpp"
#include "cuda/vectors.hpp"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

using Row = LogsumexpBackwardPlan::Row;

// What becomes of a row. One that isn't computed is filled with `value`.
struct GradientRow {
  Row fate;
  float value;
  RowExp exp;

  __device__ GradientRow(const LogsumexpBackwardPlan& plan, std::int64_t row)
      : fate(plan.row(row)), value(fate == Row::zero ? 0.0f : kNan) {
    if (fate != Row::computed) return;
    const float t = plan.temperature(row);
    exp = RowExp(plan.lse.real(row) * t, plan.grad_output.real(row) / t, Temperature(t));
  }
};

__global__ __launch_bounds__(kTileWarps* kWarp) void write_any_gradients(
    const __grid_constant__ TileGrid grid, const __grid_constant__ LogsumexpBackwardPlan plan) {
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    const int columns = columns_of_tile(plan.logits, tile);
    const TensorTile logits(plan.logits, row, tile), grad(plan.grad_logits, row, tile);
    const GradientRow known(plan, row);
    if (known.fate != Row::computed) return fill_tile(columns, known.value, grad);
    write_exponentials<false>(known.exp, columns, grad, logits);
  });
}

constexpr int kDenseThreads = kTileChunks * kWarp;  // a warp per chunk
// Per SM. Eight would leave 64 registers, of which a chunk of f32 takes 32: the loop spilled.
constexpr int kDenseBlocks = 6;

// A warp's chunk of a tile, of which `columns` exist, 0 or less too.
template <DType kDType>
__device__ __forceinline__ void write_chunk_of_tile(const RowExp& exp, int columns,
                                                    const TensorTile& grad,
                                                    const TensorTile& logits) {
  Chunk<kDType> chunk;
  const bool is_whole = columns == kChunk;
  float max = kNan, min;
  if (is_whole) {
    chunk.take(logits.at, kChunk);
    chunk.extremes(max, min);
  }
  const bool is_plain = !__any_sync(~0u, max != max);  // whole, without a NaN
  if (!is_plain) max = max_of_tile(columns, logits);
  // As on the CPU all of a tile is near, or none.
  const bool is_near = __syncthreads_and(exp.holds_up_to(max));
  const NearExponentials<false> near(exp);
  if (is_near && is_plain)
    write_chunk([near](float z) { return near.inside(fmaxf(z, near.low)); }, grad.at, chunk);
  else if (is_near)
    write_tile(columns, near, grad, logits);
  else
    write_far_exponentials(exp, columns, grad, logits);
}

// Of tensors that have vectors. A CTA takes so many tiles that follow each other, so that most are
// of a row that it knows.
template <DType kDType>
__global__ __launch_bounds__(kDenseThreads, kDenseBlocks) void write_dense_gradients(
    const __grid_constant__ LogsumexpBackwardPlan plan, int tiles_per_block) {
  __shared__ Shared<GradientRow> shared;
  const GradientRow& known = *shared;
  const std::int64_t tiles = tile_count(plan.logits.columns);
  const int first_column = static_cast<int>(threadIdx.x) / kWarp * kChunk;
  std::int64_t i = std::int64_t{blockIdx.x} * tiles_per_block;
  const std::int64_t end = min(i + tiles_per_block, plan.logits.rows * tiles);
  while (i < end) {
    const std::int64_t row = i / tiles;
    __syncthreads();
    if (threadIdx.x == 0) *shared = GradientRow(plan, row);
    __syncthreads();
    std::int64_t column = (i - row * tiles) * kTile + first_column;
    const auto at = [row, column](const RowsView& view) {
      return TensorTile(static_cast<std::byte*>(view.column(row, column)), size_of(kDType), kDType);
    };
    TensorTile logits = at(plan.logits), grad = at(plan.grad_logits);
#pragma unroll 1
    for (const std::int64_t last = min(end, (row + 1) * tiles); i < last; ++i) {
      const auto columns =
          static_cast<int>(min(plan.logits.columns - column, std::int64_t{kChunk}));
      if (known.fate == Row::computed)
        write_chunk_of_tile<kDType>(known.exp, columns, grad, logits);
      else
        fill_tile(columns, known.value, grad);
      column += kTile;
      logits.at += kTile * size_of(kDType);
      grad.at += kTile * size_of(kDType);
    }
  }
}

Status launch_dense(const LogsumexpBackwardPlan& plan, const Context& context) {
  constexpr std::int64_t kMostTiles = 8;
  return with_dtype(plan.logits.dtype, [&]<DType kDType>() {
    return launch_runs_of_tiles(&write_dense_gradients<kDType>, plan.logits, kDenseThreads,
                                kDenseBlocks, kMostTiles, context, plan);
  });
}

}  // namespace

Status logsumexp(const LogsumexpPlan& plan, const Context& context) {
  return measure_rows({plan.logits, plan.temperature, plan.row_status, plan.lse}, context);
}

// Of short rows a CTA would find out more than it writes.
Status logsumexp_backward(const LogsumexpBackwardPlan& plan, const Context& context) {
  if (plan.logits.columns >= kTile && have_vectors({&plan.logits, &plan.grad_logits}))
    return launch_dense(plan, context);
  return launch_tiles(&write_any_gradients, grid_of({&plan.logits, &plan.grad_logits}), context,
                      plan);
}

}  // namespace logsum::cuda
