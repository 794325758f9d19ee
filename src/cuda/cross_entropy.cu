// SPDX-License-Identifier: Apache-2.0
// cross_entropy on the GPU: its steps (cross_entropy_call.hpp), and those that are small.
#include "core/backend.hpp"
#include "cuda/cross_entropy_call.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/device/halving_sum.cuh"
#include "cuda/device/last_block.cuh"
#include "cuda/device/list_rows.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_list.cuh"
#include "cuda/loss_memory.hpp"

namespace logsum::cuda {
namespace {

constexpr int kPiece = static_cast<int>(CrossEntropyRows::kPiece);

__global__ __launch_bounds__(kListThreads) void list_kernel(
    const __grid_constant__ CrossEntropyCall call, unsigned* counter) {
  __shared__ Shared<HalvingRoom<Sum, kListThreads>> room;
  const CrossEntropyPlan& plan = call.plan;
  ListCounts counts;
  if (!list_rows(plan, call.rows, {}, counter, counts)) return;
  double weights = 0, column_weight = static_cast<double>(plan.logits.columns);
  if (plan.counts_weights())
    weights = halving_sum_of_block(plan.logits.rows, *room, [&](std::int64_t row) {
                return Sum{plan.counts(row) ? plan.weight_of_row(row) : 0};
              }).value;
  if (plan.label_smoothing != 0 && plan.class_weights)
    column_weight = halving_sum_of_block(plan.logits.columns, *room, [&](std::int64_t column) {
                      return Sum{plan.weight(column)};
                    }).value;
  if (threadIdx.x == 0) *call.rows.totals = plan.totals(counts.kept, weights, column_weight);
}

__device__ __forceinline__ CrossEntropySums finish_token(const CrossEntropyCall& call,
                                                         std::int64_t row, bool derives) {
  const CrossEntropyPlan& plan = call.plan;
  if (!call.counts(row)) {
    plan.write_ignored(row);
    return {};
  }
  const float lse = call.rows.lses[row];
  if (derives)
    call.rows.derivatives[row] =
        plan.derivatives(*call.rows.totals, plan.weight_of_row(row), static_cast<double>(lse))
            .times(plan.upstream(row));
  return plan.write_token(row, *call.rows.totals, call.rows.status[row], call.rows.logps[row], lse,
                          plan.is_by_column() ? call.rows.smooth[row] : 0);
}

// A piece of the batch's tree per CTA, in turns; the last CTA adds the pieces.
__global__ __launch_bounds__(kPiece) void finish_kernel(
    const __grid_constant__ CrossEntropyCall call, unsigned* counter, bool derives) {
  __shared__ Shared<HalvingRoom<CrossEntropySums, kPiece>> room;
  wait_for_kernel_before();
  const HalvingTree tree(call.logits.rows);
  const std::int64_t pieces = (tree.leaves() + kPiece - 1) / kPiece;
  for (std::int64_t piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
    const std::int64_t first = piece * kPiece, last = min(first + kPiece, tree.leaves());
    const CrossEntropySums sums =
        halving_sum_of_leaves(tree, first, last, *room,
                              [&](std::int64_t row) { return finish_token(call, row, derives); });
    if (threadIdx.x == 0) call.rows.sums[piece] = sums;
  }
  if (!is_last_block(counter)) return;
  const CrossEntropySums total = halving_sum_of_block(
      pieces, *room, [&](std::int64_t i) { return load_past_l1(call.rows.sums + i); });
  if (threadIdx.x == 0) call.plan.write_totals(total);
}

__global__ void empty_kernel(const __grid_constant__ CrossEntropyPlan plan) {
  plan.write_totals({});
}

}  // namespace

Status cross_entropy(const CrossEntropyPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) return launch_kernel(empty_kernel, 1, 1, 0, context, plan);
  const DeviceLossMemory<CrossEntropyRows> memory(plan, context);
  LOGSUM_RETURN_IF_ERROR(memory.status());
  const CrossEntropyCall call(plan, memory.rows);
  const Context inside = memory.in(context);
  LOGSUM_RETURN_IF_ERROR(launch_list(list_kernel, call, memory.counter(), inside));
  bool by_rings = false;
  if (plan.is_by_column()) {
    LOGSUM_RETURN_IF_ERROR(score_columns(call, inside));
  } else {
    if (plan.wants_gradient()) LOGSUM_RETURN_IF_ERROR(cross_entropy_rings(call, inside, by_rings));
    if (!by_rings) LOGSUM_RETURN_IF_ERROR(score_rows(LossCall(call), inside));
  }
  const bool writes_later = plan.wants_gradient() && !by_rings;
  LOGSUM_RETURN_IF_ERROR(launch_early(finish_kernel, grid_for(plan.logits.rows, kPiece), kPiece,
                                      inside, call, memory.counter(), writes_later));
  if (writes_later && plan.is_by_column())
    LOGSUM_RETURN_IF_ERROR(write_column_gradients(call, inside));
  else if (writes_later)
    LOGSUM_RETURN_IF_ERROR(write_gradients(LossCall(call), inside));
  return write_padding(LossCall(call), inside);
}

}  // namespace logsum::cuda
