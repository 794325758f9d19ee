// SPDX-License-Identifier: Apache-2.0
// policy_loss on the GPU: its steps (policy_call.hpp), and those that are small.
#include "core/backend.hpp"
#include "cuda/device/list_rows.cuh"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_list.cuh"
#include "cuda/loss_memory.hpp"
#include "cuda/policy_call.hpp"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

__global__ __launch_bounds__(kListThreads) void list_kernel(const __grid_constant__ PolicyCall call,
                                                            unsigned* counter) {
  ListCounts counts;
  if (list_rows(call.plan, call.rows, call.plan.entropy_mask, counter, counts) && threadIdx.x == 0)
    *call.rows.totals = call.plan.totals(counts.kept, counts.also, counts.nonempty);
}

__global__ void empty_kernel(const __grid_constant__ PolicyLossPlan plan) { plan.write_totals({}); }

}  // namespace

Status policy_loss(const PolicyLossPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) return launch_kernel(empty_kernel, 1, 1, 0, context, plan);
  const DeviceLossMemory<PolicyRows> memory(plan, context);
  LOGSUM_RETURN_IF_ERROR(memory.status());
  const PolicyCall call(plan, memory.rows);
  const Context inside = memory.in(context);
  LOGSUM_RETURN_IF_ERROR(launch_list(list_kernel, call, memory.counter(), inside));
  bool by_rings = false;
  if (plan.wants_gradient() && !is_coupled(plan.options))
    LOGSUM_RETURN_IF_ERROR(with_dtype(plan.logits.dtype, [&]<DType kDType>() {
      return policy_rings_of<kDType>(call, inside, by_rings);
    }));
  const bool writes_later = plan.wants_gradient() && !by_rings;
  if (!by_rings) LOGSUM_RETURN_IF_ERROR(score_rows(LossCall(call), inside));
  LOGSUM_RETURN_IF_ERROR(finish_sequences(call, memory.counter(), writes_later, inside));
  if (writes_later) LOGSUM_RETURN_IF_ERROR(write_gradients(LossCall(call), inside));
  return write_padding(LossCall(call), inside);
}

}  // namespace logsum::cuda
