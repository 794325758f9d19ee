// SPDX-License-Identifier: Apache-2.0
// Launches of a LossRing: a kernel before it prepares the rows that count, and fills the gradients
// of those that don't. Not the ring, beside its rows: stores that come in between hold its copies
// up for longer than they take (4096 x 151936 bf16, half of the rows: 628 us by a warp of each CTA
// at once, 774 spread over the whole, 524 before).
#pragma once

#include "cuda/device/fill_row.cuh"
#include "cuda/device/grid.cuh"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_rings.cuh"

namespace logsum::cuda {

template <class Op>
__global__ __launch_bounds__(kGridThreads) void prepare_kernel(const __grid_constant__
                                                               typename Op::Call call) {
  let_next_kernel_start();
  wait_for_kernel_before();
  const std::int64_t rows = call.logits.rows, kept = call.rows.totals->kept;
  each_by_thread(kept, [&](std::int64_t i) { Op::prepare(call, i); });
  const RowsView& grad = call.plan.grad_logits;
  for (std::int64_t i = rows - 1 - blockIdx.x; i >= kept; i -= gridDim.x)
    fill_row(grad.data + grad.index.offset(call.rows.list[i].row),
             grad.columns * size_of(Op::kDType));
}

template <class Op>
Status launch_loss_ring(const typename Op::Call& call, const Context& context, bool& launched) {
  return launch_rings<Op>(call, call.temperature.value, {&call.logits, &call.plan.grad_logits},
                          context, launched, [&] {
                            return launch_early(&prepare_kernel<Op>, fill_blocks(call.logits.rows),
                                                kGridThreads, context, call);
                          });
}

}  // namespace logsum::cuda
