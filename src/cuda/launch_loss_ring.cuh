// SPDX-License-Identifier: Apache-2.0
// Launches of a LossRing: a kernel prepares the rows that count before.
#pragma once

#include "cuda/device/grid.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_rings.cuh"

namespace logsum::cuda {

template <class Op>
__global__ __launch_bounds__(kGridThreads) void prepare_kernel(const __grid_constant__
                                                               typename Op::Call call) {
  each_by_thread(call.rows.totals->kept, [&](std::int64_t i) { Op::prepare(call, i); });
}

template <class Op>
Status launch_loss_ring(const typename Op::Call& call, const Context& context, bool& launched) {
  return launch_rings<Op>(
      call, call.temperature.value, {&call.logits, &call.plan.grad_logits}, context, launched, [&] {
        return launch_kernel(&prepare_kernel<Op>, grid_for(call.logits.rows, kGridThreads),
                             kGridThreads, 0, context, call);
      });
}

}  // namespace logsum::cuda
