// SPDX-License-Identifier: Apache-2.0
// softmax and log_softmax on the GPU: rows are measured in one launch and written in a second,
// which reads them again. Between the two a SoftmaxRow is kept of each.
#include "core/backend.hpp"
#include "cuda/device/emit.cuh"
#include "cuda/launch_tiles.cuh"
#include "cuda/measured_rows.hpp"
#include "cuda/scratch.hpp"

namespace logsum::cuda {
namespace {

using Kept = MeasuredRowsCall::Kept;

template <Kept kKept>
__global__ __launch_bounds__(kTileWarps* kWarp) void write_softmax(
    const __grid_constant__ TileGrid grid, const __grid_constant__ SoftmaxPlan plan,
    const SoftmaxRow* rows) {
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    const SoftmaxRow& known = rows[row];
    const int columns = columns_of_tile(plan.logits, tile);
    const TensorTile logits(plan.logits, row, tile), output(plan.output, row, tile);
    if (known.status != RowStatus::ok) return fill_tile(columns, kNan, output);
    if constexpr (kKept == Kept::exp) {
      write_exponentials<true>(known.exp, columns, output, logits);
    } else {
      const RowNorm norm = known.norm;
      write_tile(
          columns, [norm](float z) { return norm.logprob(z); }, output, logits);
    }
  });
}

template <Kept kKept>
Status run(const SoftmaxPlan& plan, const Context& context) {
  const TileGrid grid = grid_of({&plan.logits, &plan.output});
  const std::size_t visit = span_bytes(grid.rows, grid.tiles);
  const DeviceScratch scratch(visit + static_cast<std::size_t>(grid.rows) * sizeof(SoftmaxRow),
                              DeviceScratch::Counters::used, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  MeasuredRowsCall call(plan.logits, plan.temperature, plan.row_status);
  call.kept = kKept;
  call.rows = scratch.at<SoftmaxRow>(visit);
  LOGSUM_RETURN_IF_ERROR(measure_rows(call, scratch.in(context)));
  return launch_tiles(&write_softmax<kKept>, grid, context, plan, call.rows);
}

}  // namespace

Status softmax(const SoftmaxPlan& plan, const Context& context) {
  return run<Kept::exp>(plan, context);
}

Status log_softmax(const SoftmaxPlan& plan, const Context& context) {
  return run<Kept::norm>(plan, context);
}

}  // namespace logsum::cuda
