// SPDX-License-Identifier: Apache-2.0
// distill_loss: tiles of both rows side by side, to the CPU's bits (cpu/divergence-inl.h). Each
// warp takes a tile, whatever dtypes and alignments the two have.
#include "cuda/device/quick_divergence.cuh"
#include "cuda/device/steps.cuh"
#include "cuda/distill_call.hpp"
#include "cuda/distill_room.hpp"
#include "cuda/launch_tiles.cuh"

namespace logsum::cuda {
namespace {

using Fate = DistillLossPlan::Fate;
using Side = DistillLossPlan::Side;

constexpr int kSums = 3;  // of DivergenceSums
// CTAs per SM: a sum's 24 lanes of a thread spill at 80 registers.
constexpr int kQuickSums = 2, kQuickWrites = 2;

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

// The columns of two rows as core/divergence.hpp has them.
struct ExactColumns {
  const DivergencePair& pair;

  __device__ static constexpr bool is_beyond(float, float) { return false; }

  __device__ __forceinline__ ColumnPair pair_of(float za, float zb) const {
    return pair.is_far ? far_pair(pair, za, zb) : near_pair(pair, za, zb);
  }
  __device__ __forceinline__ DivergenceTerms terms(float za, float zb) const {
    return divergence_terms(pair, pair_of(za, zb));
  }
  __device__ __forceinline__ ColumnGradients gradients(const DivergenceGradient& g, float za,
                                                       float zb) const {
    return divergence_gradients(pair, g, pair_of(za, zb));
  }
};

// And as quick_divergence.cuh has them.
template <bool kIsJsd>
struct QuickColumns {
  const QuickDivergence<kIsJsd>& quick;
  const QuickPair rows;

  __device__ __forceinline__ bool is_beyond(float za, float zb) const {
    return quick.is_beyond(rows, za, zb);
  }
  __device__ __forceinline__ DivergenceTerms terms(float za, float zb) const {
    return quick.terms(rows, za, zb);
  }
  __device__ __forceinline__ ColumnGradients gradients(const DivergenceGradient& g, float za,
                                                       float zb) const {
    return {quick.gradient_a(rows, g, za, zb), quick.gradient_b(rows, g, za, zb)};
  }
};

// Columns that don't exist are −∞ in both, and add 0. `is_beyond`: one of the warp's is so.
template <class Columns>
__device__ __forceinline__ DivergenceSums sum_tile(const Columns& columns_of, int columns,
                                                   const TensorTile& a, const TensorTile& b,
                                                   ChunkRoom& room, bool& is_beyond) {
  const StepLayout layout(a, b);
  DivergenceSums result;
  is_beyond = false;
#pragma unroll 1
  for (int first = 0; first < columns; first += kChunk) {
    float sums[kSums][kPositions];
#pragma unroll 1
    for (int row = 0; row < kChunkRows; ++row) {
      const int column = first + row * kLanes;
      const StepValues za = load_step(a, layout, column, columns - column);
      const StepValues zb = load_step(b, layout, column, columns - column);
#pragma unroll
      for (int i = 0; i < kPositions; ++i) {
        is_beyond |= columns_of.is_beyond(za.v[i], zb.v[i]);
        const DivergenceTerms terms = columns_of.terms(za.v[i], zb.v[i]);
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
    result.divergence += fold_chunk(room.lanes[0]);
    result.mean_a += fold_chunk(room.lanes[1]);
    result.mean_b += fold_chunk(room.lanes[2]);
  }
  is_beyond = __any_sync(~0u, is_beyond);
  return result;
}

__device__ __forceinline__ bool is_compared(const DistillCall& call, std::int64_t row) {
  const MeasuredPair& measured = call.kept.measured[row];
  return call.kept.totals->is_valid && call.plan.mask.counts(row) &&
         status_of_pair(measured.student.status, measured.teacher.status) == RowStatus::ok;
}

// Whether a step has nothing to do.
__device__ __forceinline__ bool is_done(const DistillCall& call, DistillPart part) {
  return part == DistillPart::beside_rings && *call.kept.left_rows == 0;
}

__global__ __launch_bounds__(kTileWarps* kWarp) void sum_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ DistillCall call,
    DistillPart part) {
  if (is_done(call, part)) return;
  __shared__ ChunkRoom rooms[kTileWarps];
  __shared__ Shared<DivergencePair> pairs[kTileWarps];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const DistillLossPlan& plan = call.plan;
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    // Of others rings haven't kept the measure.
    if (part != DistillPart::all && !(call.kept.left[row] & kAllLeft)) return;
    if (!is_compared(call, row)) return;
    __syncwarp();
    if (warp_lane() == 0) *pairs[warp] = plan.pair(row, call.kept.measured[row], 1);
    __syncwarp();
    bool is_beyond;
    const DivergenceSums sums =
        sum_tile(ExactColumns{*pairs[warp]}, columns_of_tile(plan.first().logits, tile),
                 TensorTile(plan.first().logits, row, tile),
                 TensorTile(plan.second().logits, row, tile), rooms[warp], is_beyond);
    if (warp_lane() == 0) call.kept.sums[row * grid.tiles + tile] = sums;
  });
}

template <bool kIsJsd>
struct QuickRows {
  QuickPair rows;
  DivergenceGradient gradient;
};

// By one thread. Not inlined: its registers would crowd those of the loop around.
template <bool kIsJsd>
__device__ __noinline__ void know_quickly(const DistillCall& call, std::int64_t row, bool writes,
                                          QuickRows<kIsJsd>& known) {
  const DistillLossPlan& plan = call.plan;
  const MeasuredPair& measured = call.kept.measured[row];
  const DivergencePair pair = plan.pair(row, measured, 1);
  const MeasuredRow &a = plan.first_of(measured), &b = plan.second_of(measured);
  if (writes) {
    known.gradient = DivergenceGradient(pair, call.kept.rows[row].sums);
    known.gradient.multiply(call.kept.totals->factor * QuickRow::kUnlift);
  }
  const auto quick = [&](const MeasuredRow& row, float c) {
    return QuickRow(row.max, row.ratio, c, writes ? QuickRow::kLift : QuickRow::kSumLift);
  };
  known.rows = {quick(a, pair.a.temperature.c), quick(b, pair.b.temperature.c)};
}

template <bool kIsJsd>
__global__ __launch_bounds__(kTileWarps* kWarp, kQuickSums) void sum_quickly_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ DistillCall call,
    const __grid_constant__ QuickDivergence<kIsJsd> quick) {
  __shared__ ChunkRoom rooms[kTileWarps];
  __shared__ Shared<QuickRows<kIsJsd>> rows[kTileWarps];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const DistillLossPlan& plan = call.plan;
  QuickRows<kIsJsd>& known = *rows[warp];
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    if (!is_compared(call, row)) return;
    __syncwarp();
    if (warp_lane() == 0) know_quickly(call, row, false, known);
    __syncwarp();
    bool is_left;
    const DivergenceSums sums = sum_tile(
        QuickColumns<kIsJsd>{quick, known.rows}, columns_of_tile(plan.first().logits, tile),
        TensorTile(plan.first().logits, row, tile), TensorTile(plan.second().logits, row, tile),
        rooms[warp], is_left);
    if (warp_lane() != 0) return;
    call.kept.sums[row * grid.tiles + tile] = sums.times(QuickRow::kSumUnit);
    unsigned left = is_left ? kAllLeft : 0;
    if (tile == 0 && !has_room(plan, *call.kept.totals, row)) left |= kGradientLeft;
    if (left != 0) atomicOr(call.kept.left + row, left);
  });
}

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

// What becomes of a row's gradients.
struct Fates {
  bool writes_a, writes_b;
  Fate a, b;

  __device__ __forceinline__ Fates(const DistillCall& call, std::int64_t row)
      : a(call.plan.fate(call.kept.rows[row], *call.kept.totals, true)),
        b(call.plan.fate(call.kept.rows[row], *call.kept.totals, false)) {
    writes_a = call.plan.first().grad.data != nullptr && a == Fate::computed;
    writes_b = call.plan.second().grad.data != nullptr && b == Fate::computed;
  }
};

// Both tiles are read before either is written: each may lie where its logits do.
template <class Columns>
__device__ __forceinline__ void write_tile_of_pair(const Columns& columns_of,
                                                   const DivergenceGradient& g,
                                                   const DistillLossPlan& plan, std::int64_t row,
                                                   std::int64_t tile, const Fates& fates) {
  const Side &of_a = plan.first(), &of_b = plan.second();
  const int columns = columns_of_tile(of_a.logits, tile);
  const TensorTile a(of_a.logits, row, tile), b(of_b.logits, row, tile);
  const TensorTile grad_a(fates.writes_a ? of_a.grad : of_a.logits, row, tile);
  const TensorTile grad_b(fates.writes_b ? of_b.grad : of_b.logits, row, tile);
  const StepLayout layout(a, b, grad_a, grad_b);
#pragma unroll 1
  for (int first = 0; first < columns; first += kLanes) {
    StepValues za = load_step(a, layout, first, columns - first);
    StepValues zb = load_step(b, layout, first, columns - first);
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      const ColumnGradients of = columns_of.gradients(g, za.v[i], zb.v[i]);
      za.v[i] = of.a;
      zb.v[i] = of.b;
    }
    if (fates.writes_a) store_step(grad_a, layout, first, columns - first, za);
    if (fates.writes_b) store_step(grad_b, layout, first, columns - first, zb);
  }
}

// What a warp knows of a row that it writes.
struct WrittenRow {
  DivergencePair pair;
  DivergenceGradient gradient;
};

// What isn't computed is filled here, but for rows that rings have written.
__global__ __launch_bounds__(kTileWarps* kWarp) void write_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ DistillCall call,
    DistillPart part) {
  if (is_done(call, part)) return;
  __shared__ Shared<WrittenRow> rows[kTileWarps];
  WrittenRow& known = *rows[threadIdx.x / kWarp];
  const DistillLossPlan& plan = call.plan;
  const Side &of_a = plan.first(), &of_b = plan.second();
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    if (part == DistillPart::beside_rings && call.kept.left[row] == 0) return;
    const Fates fates(call, row);
    const int columns = columns_of_tile(of_a.logits, tile);
    fill_side(of_a, fates.a, row, tile, columns);
    fill_side(of_b, fates.b, row, tile, columns);
    if (tile == grid.tiles - 1) {
      fill_padding(of_a, row);
      fill_padding(of_b, row);
    }
    if (!fates.writes_a && !fates.writes_b) return;
    if (part != DistillPart::all && call.kept.left[row] == 0) return;
    __syncwarp();
    if (warp_lane() == 0) {
      known.pair = plan.pair(row, call.kept.measured[row], call.kept.totals->factor);
      known.gradient = DivergenceGradient(known.pair, call.kept.rows[row].sums);
    }
    __syncwarp();
    write_tile_of_pair(ExactColumns{known.pair}, known.gradient, plan, row, tile, fates);
  });
}

template <bool kIsJsd>
__global__ __launch_bounds__(kTileWarps* kWarp, kQuickWrites) void write_quickly_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ DistillCall call,
    const __grid_constant__ QuickDivergence<kIsJsd> quick) {
  __shared__ Shared<QuickRows<kIsJsd>> rows[kTileWarps];
  QuickRows<kIsJsd>& known = *rows[threadIdx.x / kWarp];
  const DistillLossPlan& plan = call.plan;
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    if (call.kept.left[row] != 0) return;
    const Fates fates(call, row);
    if (!fates.writes_a && !fates.writes_b) return;
    __syncwarp();
    if (warp_lane() == 0) know_quickly(call, row, true, known);
    __syncwarp();
    const DivergenceGradient gradient = known.gradient;
    write_tile_of_pair(QuickColumns<kIsJsd>{quick, known.rows}, gradient, plan, row, tile, fates);
  });
}

TileGrid grid_of_pairs(const DistillLossPlan& plan) {
  return grid_of({&plan.student.logits, &plan.teacher.logits});
}

template <bool kIsJsd>
Status sum_quickly(const DistillCall& call, const Context& context) {
  return launch_tiles(&sum_quickly_kernel<kIsJsd>, grid_of_pairs(call.plan), context, call,
                      QuickDivergence<kIsJsd>(call.plan.beta));
}
template <bool kIsJsd>
Status write_quickly(const DistillCall& call, const Context& context) {
  return launch_tiles(&write_quickly_kernel<kIsJsd>, grid_of_pairs(call.plan), context, call,
                      QuickDivergence<kIsJsd>(call.plan.beta));
}

}  // namespace

Status sum_pairs(const DistillCall& call, DistillPart part, const Context& context) {
  if (part == DistillPart::beside_quick)
    LOGSUM_RETURN_IF_ERROR(call.plan.divergence == Divergence::jsd
                               ? sum_quickly<true>(call, context)
                               : sum_quickly<false>(call, context));
  return launch_tiles(&sum_kernel, grid_of_pairs(call.plan), context, call, part);
}

// The rows that are left are written first: those that aren't stay as they are where in place.
Status write_pairs(const DistillCall& call, DistillPart part, const Context& context) {
  LOGSUM_RETURN_IF_ERROR(
      launch_tiles(&write_kernel, grid_of_pairs(call.plan), context, call, part));
  if (part != DistillPart::beside_quick) return {};
  return call.plan.divergence == Divergence::jsd ? write_quickly<true>(call, context)
                                                 : write_quickly<false>(call, context);
}

}  // namespace logsum::cuda
