// SPDX-License-Identifier: Apache-2.0
// cross_entropy where columns are looked at one by one, through a softcap or with label smoothing:
// tiles are measured, a warp each, and rows scored from their records; then written. Logits are
// read twice.
#include "core/halving_tree.hpp"
#include "cuda/cross_entropy_call.hpp"
#include "cuda/device/capped_tile.cuh"
#include "cuda/device/grid.cuh"
#include "cuda/device/halving_sum.cuh"
#include "cuda/device/row_gradient.cuh"
#include "cuda/device/target_row.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_tiles.cuh"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

// Σ_c w_c·z_c of a tile, by a warp: the CPU's order, lanes of columns that are equal mod 256, then
// neighbours. A thread has lanes 4t to 4t + 3 of either half.
__device__ __forceinline__ double column_sum(const CrossEntropyPlan& plan, const CappedTile& tile,
                                             std::int64_t first_column) {
  double halves[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    double lanes[4] = {};
#pragma unroll 1
    for (int first = half * kLanes / 2 + warp_lane() * 4; first < tile.columns; first += kLanes)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (first + j < tile.columns)
          lanes[j] += plan.weighted(first_column + first + j, tile.value(first + j));
    Sum sum{(lanes[0] + lanes[1]) + (lanes[2] + lanes[3])};
    add_neighbours(sum, kWarp);
    halves[half] = sum.value;
  }
  return halves[0] + halves[1];
}

template <class Exp>
__global__ __launch_bounds__(kTileWarps* kWarp) void measure_columns_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ CrossEntropyCall call) {
  using Kind = KindOfTile<CappedTile, Exp>;
  const TileTemperature temperature{Temperature()};
  for_each_tile(grid, [&](std::int64_t row, std::int64_t index) {
    if (!call.counts(row)) return;
    const CappedTile tile(call.logits, row, index, call.plan.softcap);
    const TileRecord record = measure_odd_tile<Kind>(tile, temperature).at_temperature;
    const double sum =
        call.plan.label_smoothing != 0 ? column_sum(call.plan, tile, index * kTile) : 0;
    if (warp_lane() != 0) return;
    call.rows.records[row * grid.tiles + index] = record;
    call.rows.column_sums[row * grid.tiles + index] = sum;
  });
}

template <class Exp>
__device__ __forceinline__ ScoredRow scored_columns(const CrossEntropyCall& call, std::int64_t row,
                                                    const TileRecord* records) {
  const Temperature temperature;
  const std::int64_t target = call.plan.targets.integer(row), index = target / kTile;
  const int column = static_cast<int>(target % kTile);
  const bool has_target = call.plan.has_target(target);
  const auto tile = [&] { return CappedTile(call.logits, row, index, call.plan.softcap); };
  using Without = TileWithout<CappedTile>;
  TileRecord without;
  const bool derives = has_target && call.plan.wants_gradient();
  if (derives)
    without = measure_odd_tile<KindOfTile<Without, Exp>>(Without(tile(), column),
                                                         TileTemperature(temperature))
                  .at_temperature;
  ScoredRow scored = score_target<KindOfTile<CappedTile, Exp>>(
      records, call.logits.columns, temperature, has_target ? tile().value(column) : 0, target,
      derives ? &without : nullptr);
  check_target(scored, has_target);
  return scored;
}

template <class Exp>
__global__ __launch_bounds__(kGridThreads) void score_columns_kernel(
    const __grid_constant__ CrossEntropyCall call) {
  const std::int64_t tiles = tile_count(call.logits.columns);
  const CrossEntropyTotals& totals = *call.rows.totals;
  each_by_warp(totals.kept, [&](std::int64_t i) {
    const std::int64_t row = call.rows.list[i].row;
    ScoredRow scored;
    scored.status = RowStatus::bad_parameter;
    if (totals.is_valid) scored = scored_columns<Exp>(call, row, call.rows.records + row * tiles);
    if (warp_lane() != 0) return;
    const double* const sums = call.rows.column_sums + row * tiles;
    const double sum = halving_sum<Sum>(tiles, [&](std::int64_t k) { return Sum{sums[k]}; }).value;
    call.rows.scored[row] = scored;
    call.rows.status[row] = scored.status;
    call.rows.logps[row] = scored.logp;
    call.rows.lses[row] = scored.lse;
    call.rows.smooth[row] =
        call.plan.label_smoothing != 0 ? call.plan.smooth(totals, scored, sum) : 0;
  });
}

// What is known of a row that is written.
struct ColumnRow {
  RowGradient gradient;
  ColumnGradient of_column;
  std::int64_t target;
  double at_target;
  bool is_well;

  __device__ __forceinline__ ColumnRow(const CrossEntropyCall& call, std::int64_t row)
      : of_column(call.plan.column_gradient(*call.rows.totals, row)),
        target(call.plan.targets.integer(row)) {
    const RowDerivatives d = call.rows.derivatives[row].times(call.rows.totals->grad_scale);
    const ScoredRow& scored = call.rows.scored[row];
    gradient = whole_gradient_of_row(scored, Temperature(), d, target);
    at_target = gradient_at_target(scored, d);
    is_well = is_scored(scored.status);
  }
};

__device__ __forceinline__ float column_exponential(const ColumnRow& row,
                                                    const NearExponentials<false>& near, float z) {
  if (row.gradient.fate != RowGradient::Fate::computed) return 0;
  return row.gradient.exp.is_far ? far_gradient(row.gradient, z) : near.inside(fmaxf(z, near.low));
}

__device__ __forceinline__ void write_columns(const CrossEntropyCall& call, const ColumnRow& row,
                                              std::int64_t first_column, int columns,
                                              const TensorTile& grad, const TensorTile& logits) {
  const NearExponentials<false> near(row.gradient.exp);
  const Softcap& softcap = call.plan.softcap;
  const StepLayout layout(grad, logits);
#pragma unroll 1
  for (int first = 0; first < columns; first += kLanes) {
    const StepValues z = load_step(logits, layout, first, columns - first);
    StepValues values;
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      const int column = first + layout.column(i);
      const float shown = softcap.cap != 0 ? softcap(z.v[i]) : z.v[i];
      const double weight = column < columns ? call.plan.weight(first_column + column) : 0;
      values.v[i] =
          row.of_column(column_exponential(row, near, shown), z.v[i], static_cast<float>(weight));
      if (first_column + column == row.target)
        values.v[i] = row.of_column.at_target(row.at_target, z.v[i], weight);
    }
    store_step(grad, layout, first, columns - first, values);
  }
}

__global__ __launch_bounds__(kTileWarps* kWarp) void column_gradients_kernel(
    const __grid_constant__ TileGrid grid, const __grid_constant__ CrossEntropyCall call) {
  for_each_tile(grid, [&](std::int64_t row, std::int64_t index) {
    const int columns = columns_of_tile(call.logits, index);
    const TensorTile grad(call.plan.grad_logits, row, index), logits(call.logits, row, index);
    if (!call.counts(row)) return fill_tile(columns, 0.0f, grad);
    const ColumnRow known(call, row);
    // Without exponentials label smoothing's part is left, of a row that is well.
    if (known.gradient.fate == RowGradient::Fate::nan) return fill_tile(columns, kNan, grad);
    if (known.gradient.fate == RowGradient::Fate::zero && !known.is_well)
      return fill_tile(columns, 0.0f, grad);
    write_columns(call, known, index * kTile, columns, grad, logits);
  });
}

}  // namespace

Status score_columns(const CrossEntropyCall& call, const Context& context) {
  return with_exponential(context, [&]<class Exp>() {
    LOGSUM_RETURN_IF_ERROR(
        launch_tiles(&measure_columns_kernel<Exp>, grid_of({&call.logits}), context, call));
    constexpr int kWarps = kGridThreads / kWarp;
    return launch_kernel(&score_columns_kernel<Exp>, grid_for(call.logits.rows, kWarps),
                         kGridThreads, 0, context, call);
  });
}

Status write_column_gradients(const CrossEntropyCall& call, const Context& context) {
  return launch_tiles(&column_gradients_kernel, grid_of({&call.plan.grad_logits, &call.logits}),
                      context, call);
}

}  // namespace logsum::cuda
