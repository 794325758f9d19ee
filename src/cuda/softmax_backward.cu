// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax on the GPU: the tiles' sums in one launch, their gradients
// in a second, where each warp adds the sums of its row.
#include "core/backend.hpp"
#include "cuda/device/backward.cuh"
#include "cuda/launch_tiles.cuh"
#include "cuda/scratch.hpp"
#include "ops/softmax.hpp"

namespace logsum::cuda {
namespace {

using Row = SoftmaxBackwardPlan::Row;

template <class Terms>
__global__ __launch_bounds__(kTileWarps* kWarp) void sum_tiles(
    const __grid_constant__ TileGrid grid, const __grid_constant__ SoftmaxBackwardPlan plan,
    double* sums) {
  __shared__ double lanes[kTileWarps][kLanes];
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    if (plan.row(row) != Row::computed) return;
    const double sum = sum_of_tile<Terms>(
        columns_of_tile(plan.output, tile), TensorTile(plan.grad_output, row, tile),
        TensorTile(plan.output, row, tile), lanes[threadIdx.x / kWarp]);
    if (warp_lane() == 0) sums[row * grid.tiles + tile] = sum;
  });
}

// What becomes of a row, and its sum, which is added in the order of its tiles.
struct KnownRow {
  std::int64_t row = -1;
  double sum = 0;
  Row fate = Row::nan;

  __device__ void find(const SoftmaxBackwardPlan& plan, const double* sums, std::int64_t tiles,
                       std::int64_t of_row) {
    if (of_row == row) return;
    row = of_row;
    fate = plan.row(row);
    if (fate != Row::computed) return;
    sum = sums[row * tiles];
    for (std::int64_t tile = 1; tile < tiles; ++tile)
      sum = __dadd_rn(sum, sums[row * tiles + tile]);
    fate = plan.row(row, sum);
  }
};

template <class Gradient>
__global__ __launch_bounds__(kTileWarps* kWarp) void write_gradients(
    const __grid_constant__ TileGrid grid, const __grid_constant__ SoftmaxBackwardPlan plan,
    const double* sums) {
  KnownRow known;
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    known.find(plan, sums, grid.tiles, row);
    const int columns = columns_of_tile(plan.output, tile);
    const TensorTile grad(plan.grad_logits, row, tile);
    if (known.fate != Row::computed)
      return fill_tile(columns, known.fate == Row::zero ? 0.0f : kNan, grad);
    write_tile(columns, Gradient{RowSum(known.sum, plan.temperature(row))}, grad,
               TensorTile(plan.grad_output, row, tile), TensorTile(plan.output, row, tile));
  });
}

template <class Terms, class Gradient>
Status run(const SoftmaxBackwardPlan& plan, const Context& context) {
  const TileGrid grid = grid_of({&plan.grad_output, &plan.output, &plan.grad_logits});
  const std::size_t count = static_cast<std::size_t>(grid.rows * grid.tiles);
  const DeviceScratch scratch(launches_workspace_bytes(count * sizeof(double)),
                              DeviceScratch::Counters::unused, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  auto* const sums = scratch.at<double>(kSpanCounterBytes);
  LOGSUM_RETURN_IF_ERROR(launch_tiles(&sum_tiles<Terms>, grid, context, plan, sums));
  return launch_tiles(&write_gradients<Gradient>, grid, context, plan, sums);
}

}  // namespace

Status softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context) {
  return run<Products, SoftmaxGradient>(plan, context);
}

Status log_softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context) {
  return run<Live, LogSoftmaxGradient>(plan, context);
}

}  // namespace logsum::cuda
