// SPDX-License-Identifier: Apache-2.0
// Launches of policy_loss in rings, for logits of one dtype. A file of its own compiles each.
#pragma once

#include "cuda/device/grid.cuh"
#include "cuda/device/policy_ring.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_rings.cuh"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {

template <class Op>
__global__ __launch_bounds__(kGridThreads) void prepare_kernel(
    const __grid_constant__ PolicyCall call) {
  each_by_thread(call.rows.totals->kept, [&](std::int64_t i) { Op::prepare(call, i); });
}

template <DType kDType, class Exp, bool kEntropy>
Status launch_policy_ring(const PolicyCall& call, const Context& context, bool& launched) {
  using Op = PolicyRing<kDType, Exp, kEntropy>;
  return launch_rings<Op>(
      call, call.temperature.value, {&call.logits, &call.plan.grad_logits}, context, launched, [&] {
        return launch_kernel(&prepare_kernel<Op>, grid_for(call.logits.rows, kGridThreads),
                             kGridThreads, 0, context, call);
      });
}

template <DType kDType>
Status policy_rings_of(const PolicyCall& call, const Context& context, bool& launched) {
  return with_exponential(context, [&]<class Exp>() {
    return call.plan.has_entropy()
               ? launch_policy_ring<kDType, Exp, true>(call, context, launched)
               : launch_policy_ring<kDType, Exp, false>(call, context, launched);
  });
}

}  // namespace logsum::cuda
