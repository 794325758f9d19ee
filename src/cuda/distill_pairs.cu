// SPDX-License-Identifier: Apache-2.0
// distill_loss: tiles of both rows side by side, to the CPU's bits (cpu/divergence-inl.h). Each
// warp takes a tile, whatever dtypes and alignments the two have.
#include "cuda/device/steps.cuh"
#include "cuda/distill_call.hpp"
#include "cuda/launch_tiles.cuh"

namespace logsum::cuda {
namespace {

using Fate = DistillLossPlan::Fate;
using Side = DistillLossPlan::Side;

constexpr int kSums = 3;  // of DivergenceSums

// A warp's: a chunk's sums in lanes, whatever columns its threads had.
struct ChunkRoom {
  float lanes[kSums][kLanes];
};

// The chunk's sum in all threads: neighbours, three times, then halves.
__device__ __forceinline__ double fold_chunk(const float (&lanes)[kLanes]) {
  const float* const l = lanes + warp_lane() * kPositions;
  float sum = __fadd_rn(__fadd_rn(__fadd_rn(l[0], l[1]), __fadd_rn(l[2], l[3])),
                        __fadd_rn(__fadd_rn(l[4], l[5]), __fadd_rn(l[6], l[7])));
#pragma unroll
  for (int offset = kWarp / 2; offset >= 1; offset /= 2)
    sum = __fadd_rn(sum, __shfl_xor_sync(~0u, sum, offset));
  return static_cast<double>(sum);
}

__device__ __forceinline__ ColumnPair pair_of(const DivergencePair& pair, float za, float zb) {
  return pair.is_far ? far_pair(pair, za, zb) : near_pair(pair, za, zb);
}

// Columns that don't exist are −∞ in both, and add 0.
__device__ __forceinline__ DivergenceSums sum_chunk(const DivergencePair& pair, int first,
                                                    int columns, const TensorTile& a,
                                                    const TensorTile& b, ChunkRoom& room) {
  const StepLayout layout(a, b);
  float sums[kSums][kPositions];
#pragma unroll 1
  for (int row = 0; row < kChunkRows; ++row) {
    const int column = first + row * kLanes;
    const StepValues za = load_step(a, layout, column, columns - column);
    const StepValues zb = load_step(b, layout, column, columns - column);
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      const DivergenceTerms terms = divergence_terms(pair, pair_of(pair, za.v[i], zb.v[i]));
      const float values[kSums] = {terms.divergence, terms.mean_a, terms.mean_b};
#pragma unroll
      for (int k = 0; k < kSums; ++k)
        sums[k][i] = row == 0 ? values[k] : __fadd_rn(sums[k][i], values[k]);
    }
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kPositions; ++i)
#pragma unroll
    for (int k = 0; k < kSums; ++k) room.lanes[k][layout.column(i)] = sums[k][i];
  __syncwarp();
  DivergenceSums result;
  result.divergence = fold_chunk(room.lanes[0]);
  result.mean_a = fold_chunk(room.lanes[1]);
  result.mean_b = fold_chunk(room.lanes[2]);
  return result;
}

__global__ __launch_bounds__(kTileWarps* kWarp) void sum_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ DistillCall call) {
  __shared__ ChunkRoom rooms[kTileWarps];
  __shared__ Shared<DivergencePair> pairs[kTileWarps];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const DivergencePair& pair = *pairs[warp];
  const DistillLossPlan& plan = call.plan;
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    const MeasuredPair& measured = call.kept.measured[row];
    if (!call.kept.totals->is_valid ||
        status_of_pair(measured.student.status, measured.teacher.status) != RowStatus::ok ||
        !plan.mask.counts(row))
      return;
    __syncwarp();
    if (warp_lane() == 0) *pairs[warp] = plan.pair(row, measured, 1);
    __syncwarp();
    const int columns = columns_of_tile(plan.first().logits, tile);
    const TensorTile a(plan.first().logits, row, tile), b(plan.second().logits, row, tile);
    DivergenceSums sums;
#pragma unroll 1
    for (int first = 0; first < columns; first += kChunk)
      sums.add(sum_chunk(pair, first, columns, a, b, rooms[warp]));
    if (warp_lane() == 0) call.kept.sums[row * grid.tiles + tile] = sums;
  });
}

// What a warp knows of a row that it writes.
struct WrittenRow {
  DivergencePair pair;
  DivergenceGradient gradient;
};

__device__ __forceinline__ void fill_side(const Side& side, Fate fate, std::int64_t row,
                                          std::int64_t tile, int columns) {
  if (side.grad.data == nullptr || fate == Fate::computed) return;
  fill_tile(columns, fate == Fate::zero ? 0.0f : kNan, TensorTile(side.grad, row, tile));
}

__device__ __forceinline__ void fill_padding(const Side& side, std::int64_t row) {
  if (side.grad.data == nullptr || side.padded_columns == 0) return;
  const RowsView& grad = side.grad;
  const TensorTile padding(static_cast<std::byte*>(grad.column(row, grad.columns)),
                           static_cast<std::int64_t>(size_of(grad.dtype)), grad.dtype);
  for (int i = warp_lane(); i < side.padded_columns; i += kWarp) fill_one(padding, i, 0.0f);
}

__global__ __launch_bounds__(kTileWarps* kWarp) void write_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ DistillCall call) {
  __shared__ Shared<WrittenRow> rows[kTileWarps];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const DistillLossPlan& plan = call.plan;
  const Side &of_a = plan.first(), &of_b = plan.second();
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    const DistilledRow& result = call.kept.rows[row];
    const DistillTotals& totals = *call.kept.totals;
    const Fate fate_a = plan.fate(result, totals, true), fate_b = plan.fate(result, totals, false);
    const int columns = columns_of_tile(of_a.logits, tile);
    fill_side(of_a, fate_a, row, tile, columns);
    fill_side(of_b, fate_b, row, tile, columns);
    if (tile == grid.tiles - 1) {
      fill_padding(of_a, row);
      fill_padding(of_b, row);
    }
    const bool writes_a = of_a.grad.data != nullptr && fate_a == Fate::computed;
    const bool writes_b = of_b.grad.data != nullptr && fate_b == Fate::computed;
    if (!writes_a && !writes_b) return;
    WrittenRow& known = *rows[warp];
    __syncwarp();
    if (warp_lane() == 0) {
      known.pair = plan.pair(row, call.kept.measured[row], totals.factor);
      known.gradient = DivergenceGradient(known.pair, result.sums);
    }
    __syncwarp();
    const TensorTile a(of_a.logits, row, tile), b(of_b.logits, row, tile);
    const TensorTile grad_a = writes_a ? TensorTile(of_a.grad, row, tile) : a;
    const TensorTile grad_b = writes_b ? TensorTile(of_b.grad, row, tile) : b;
    const StepLayout layout(a, b, grad_a, grad_b);
#pragma unroll 1
    for (int first = 0; first < columns; first += kLanes) {
      StepValues za = load_step(a, layout, first, columns - first);
      StepValues zb = load_step(b, layout, first, columns - first);
#pragma unroll
      for (int i = 0; i < kPositions; ++i) {
        const ColumnGradients g =
            divergence_gradients(known.pair, known.gradient, pair_of(known.pair, za.v[i], zb.v[i]));
        za.v[i] = g.a;
        zb.v[i] = g.b;
      }
      if (writes_a) store_step(grad_a, layout, first, columns - first, za);
      if (writes_b) store_step(grad_b, layout, first, columns - first, zb);
    }
  });
}

TileGrid grid_of_pairs(const DistillLossPlan& plan) {
  return grid_of({&plan.student.logits, &plan.teacher.logits});
}

}  // namespace

Status sum_pairs(const DistillCall& call, const Context& context) {
  return launch_tiles(&sum_kernel, grid_of_pairs(call.plan), context, call);
}

Status write_pairs(const DistillCall& call, const Context& context) {
  return launch_tiles(&write_kernel, grid_of_pairs(call.plan), context, call);
}

}  // namespace logsum::cuda
