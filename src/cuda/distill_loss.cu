// SPDX-License-Identifier: Apache-2.0
// distill_loss on the GPU: its steps (distill_call.hpp), and those that are small.
#include "core/backend.hpp"
#include "core/lane_sums.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/device/halving_sum.cuh"
#include "cuda/distill_call.hpp"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/scratch.hpp"

namespace logsum::cuda {
namespace {

constexpr int kThreads = 512;

__global__ __launch_bounds__(kThreads) void list_kernel(const __grid_constant__ DistillCall call) {
  __shared__ unsigned counts[kThreads / kWarp];
  let_next_kernel_start();
  const std::int64_t rows = call.plan.rows();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  std::int64_t counted = 0;  // of the rows before
  for (std::int64_t row = thread; row < rows; row += kThreads) call.kept.left[row] = 0;
  for (std::int64_t first = 0; call.plan.mask && first < rows; first += kThreads) {
    const std::int64_t row = first + thread;
    const bool is_counted = row < rows && call.plan.mask.counts(row);
    const unsigned votes = __ballot_sync(~0u, is_counted);
    __syncthreads();
    if (warp_lane() == 0) counts[warp] = __popc(votes);
    __syncthreads();
    const unsigned of_warp = warp_lane() < kThreads / kWarp ? counts[warp_lane()] : 0;
    const auto up_to = static_cast<unsigned>(warp_prefix_sum(std::uint64_t{of_warp}));
    const std::int64_t place = counted + __shfl_sync(~0u, up_to - of_warp, warp) +
                               __popc(votes & ((1u << warp_lane()) - 1));
    if (row < rows) call.kept.list[is_counted ? place : rows - 1 - (row - place)] = row;
    counted += __shfl_sync(~0u, up_to, kWarp - 1);
  }
  if (thread != 0) return;
  *call.kept.totals = call.plan.totals(call.plan.mask ? counted : rows);
  *call.kept.left_rows = 0;
}

// A thread per row.
__global__ __launch_bounds__(kGridThreads) void finish_kernel(
    const __grid_constant__ DistillCall call, std::int64_t tiles, DistillPart part) {
  const DistillLossPlan& plan = call.plan;
  const DistillTotals& totals = *call.kept.totals;
  if (part == DistillPart::beside_rings && *call.kept.left_rows == 0) return;
  each_by_thread(plan.rows(), [&](std::int64_t row) {
    if (part == DistillPart::beside_rings && !(call.kept.left[row] & kAllLeft)) return;
    DistilledRow result;
    if (plan.mask.counts(row)) {
      const MeasuredPair& measured = call.kept.measured[row];
      result.status = status_of_pair(measured.student.status, measured.teacher.status);
      if (!totals.is_valid) result.status = RowStatus::bad_parameter;
    }
    if (result.status == RowStatus::ok) {
      const DivergenceSums* const sums = call.kept.sums + row * tiles;
#pragma unroll 8
      for (std::int64_t tile = 0; tile < tiles; ++tile) result.sums.add(sums[tile]);
    }
    call.kept.terms[row] = plan.write_row(row, totals, result);
    call.kept.rows[row] = result;
  });
}

__global__ __launch_bounds__(kThreads) void loss_kernel(const __grid_constant__ DistillCall call) {
  __shared__ Shared<HalvingRoom<Sum, kThreads>> room;
  const Sum sum = halving_sum_of_block(call.plan.rows(), *room,
                                       [&](std::int64_t row) { return Sum{call.kept.terms[row]}; });
  if (threadIdx.x == 0) set_scalar(call.plan.loss, sum.value);
}

__global__ void empty_kernel(const __grid_constant__ ElementsView loss) { set_scalar(loss, 0); }

}  // namespace

Status distill_loss(const DistillLossPlan& plan, const Context& context) {
  if (plan.rows() == 0) return launch_kernel(empty_kernel, 1, 1, 0, context, plan.loss);
  const std::int64_t tiles = tile_count(plan.columns());
  const auto rows = static_cast<std::size_t>(plan.rows());
  const std::size_t visit = Layout::aligned(span_bytes(plan.rows(), tiles));
  DistillCall call{plan, {}};
  const DeviceScratch scratch(
      visit + call.kept.lay(nullptr, rows, static_cast<std::size_t>(tiles), true),
      DeviceScratch::Counters::used, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  call.kept.lay(scratch.at<std::byte>(visit), rows, static_cast<std::size_t>(tiles), true);
  const Context inside = scratch.in(context);
  LOGSUM_RETURN_IF_ERROR(launch_kernel(list_kernel, 1, kThreads, 0, inside, call));
  bool by_rings = false;
  LOGSUM_RETURN_IF_ERROR(distill_by_rings(call, inside, by_rings));
  if (!by_rings) {
    LOGSUM_RETURN_IF_ERROR(measure_side(call, false, inside));
    LOGSUM_RETURN_IF_ERROR(measure_side(call, true, inside));
  }
  const DistillPart part = by_rings                  ? DistillPart::beside_rings
                           : is_quick(plan, context) ? DistillPart::beside_quick
                                                     : DistillPart::all;
  LOGSUM_RETURN_IF_ERROR(sum_pairs(call, part, inside));
  LOGSUM_RETURN_IF_ERROR(launch_kernel(finish_kernel, grid_for(plan.rows(), kGridThreads),
                                       kGridThreads, 0, inside, call, tiles, part));
  if (plan.loss) LOGSUM_RETURN_IF_ERROR(launch_kernel(loss_kernel, 1, kThreads, 0, inside, call));
  return plan.wants_gradient() ? write_pairs(call, part, inside) : Status();
}

}  // namespace logsum::cuda
