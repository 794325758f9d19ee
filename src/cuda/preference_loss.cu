// SPDX-License-Identifier: Apache-2.0
// preference_loss on the GPU: its steps (preference_call.hpp), and the list of its rows.
#include "core/backend.hpp"
#include "cuda/device/list_rows.cuh"
#include "cuda/launch_list.cuh"
#include "cuda/loss_memory.hpp"
#include "cuda/preference_call.hpp"

namespace logsum::cuda {
namespace {

__global__ __launch_bounds__(kListThreads) void list_kernel(
    const __grid_constant__ PreferenceCall call, unsigned* counter) {
  __shared__ std::uint64_t room[kListWarps];
  const PreferenceLossPlan& plan = call.plan;
  ListCounts counts;
  if (!list_rows(plan, call.rows, {}, counter, counts)) return;
  // Each thread has written the lengths that it reads.
  std::int64_t nll_tokens = 0;
  for (std::int64_t i = threadIdx.x; i < plan.sequences.count; i += kListThreads)
    if (plan.is_chosen(i)) nll_tokens += call.rows.lengths[i];
  nll_tokens = sum_of_threads(nll_tokens, room);
  if (threadIdx.x == 0) *call.rows.totals = plan.totals(counts.kept, nll_tokens);
}

}  // namespace

Status preference_loss(const PreferenceLossPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) return finish_without_tokens(plan, context);
  const DeviceLossMemory<PreferenceRows> memory(plan, context);
  LOGSUM_RETURN_IF_ERROR(memory.status());
  const PreferenceCall call(plan, memory.rows);
  const Context inside = memory.in(context);
  LOGSUM_RETURN_IF_ERROR(launch_list(list_kernel, call, memory.counter(), inside));
  LOGSUM_RETURN_IF_ERROR(score_rows(LossCall(call), inside));
  LOGSUM_RETURN_IF_ERROR(finish_preferences(call, inside));
  if (plan.wants_gradient()) LOGSUM_RETURN_IF_ERROR(write_gradients(LossCall(call), inside));
  return write_padding(LossCall(call), inside);
}

}  // namespace logsum::cuda
