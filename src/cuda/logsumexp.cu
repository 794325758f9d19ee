// SPDX-License-Identifier: Apache-2.0
// logsumexp on the GPU: what is known of a measured row is the result. Its gradient is one launch,
// which reads a tile twice: how large its logits are decides how they are computed.
#include "ops/logsumexp.hpp"

#include "core/backend.hpp"
#include "cuda/device/emit.cuh"
#include "cuda/launch_tiles.cuh"
#include "cuda/measured_rows.hpp"

namespace logsum::cuda {
namespace {

__global__ __launch_bounds__(kTileWarps* kWarp) void write_logsumexp_gradients(
    const __grid_constant__ TileGrid grid, const __grid_constant__ LogsumexpBackwardPlan plan) {
  using Row = LogsumexpBackwardPlan::Row;
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    const int columns = columns_of_tile(plan.logits, tile);
    const TensorTile logits(plan.logits, row, tile), grad(plan.grad_logits, row, tile);
    const Row fate = plan.row(row);
    if (fate != Row::computed) return fill_tile(columns, fate == Row::zero ? 0.0f : kNan, grad);
    const float t = plan.temperature(row);
    const RowExp exp(plan.lse.real(row) * t, plan.grad_output.real(row) / t, Temperature(t));
    write_exponentials<false>(exp, columns, grad, logits);
  });
}

}  // namespace

Status logsumexp(const LogsumexpPlan& plan, const Context& context) {
  return measure_rows({plan.logits, plan.temperature, plan.row_status, plan.lse}, context);
}

Status logsumexp_backward(const LogsumexpBackwardPlan& plan, const Context& context) {
  return launch_tiles(&write_logsumexp_gradients, grid_of({&plan.logits, &plan.grad_logits}),
                      context, plan);
}

}  // namespace logsum::cuda
