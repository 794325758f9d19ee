// SPDX-License-Identifier: Apache-2.0
// preference_loss: what follows from rows' log-probs. Sums of sequences by a CTA each, all pairs by
// one, the tokens' results by a thread each.
#include <algorithm>

#include "cuda/device/grid.cuh"
#include "cuda/device/halving_sum.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/preference_call.hpp"

namespace logsum::cuda {
namespace {

constexpr int kSequenceThreads = 256;
constexpr int kPairThreads = 512;

__global__ __launch_bounds__(kSequenceThreads) void sequences_kernel(
    const __grid_constant__ PreferenceCall call) {
  __shared__ Shared<HalvingRoom<PreferenceSequence, kSequenceThreads>> room;
  const PreferenceLossPlan& plan = call.plan;
  for (std::int64_t i = blockIdx.x; i < plan.sequences.count; i += gridDim.x) {
    const TokenRange span = plan.sequences.range(i);
    const std::int64_t first = span.begin < span.end ? call.rows.before[span.begin] : 0;
    const PreferenceSequence sum =
        halving_sum_of_block(call.rows.lengths[i], *room, [&](std::int64_t token) {
          const std::int64_t row = call.rows.list[first + token].row;
          return plan.token(row, call.rows.logps[row]);
        });
    if (threadIdx.x == 0) call.rows.sums[i] = plan.sequence(sum, i);
  }
}

using PairRoom = HalvingRoom<PreferenceSums, kPairThreads>;

__global__ __launch_bounds__(kPairThreads) void pairs_kernel(
    const __grid_constant__ PreferenceCall call) {
  __shared__ Shared<PairRoom> room;
  const PreferenceSums sums = halving_sum_of_block(
      call.plan.pairs(), *room,
      [&](std::int64_t pair) { return call.plan.finish_pair(call.rows, pair); });
  if (threadIdx.x == 0) call.plan.write_totals(sums);
}

__global__ __launch_bounds__(kPairThreads) void empty_pairs_kernel(
    const __grid_constant__ PreferenceLossPlan plan) {
  __shared__ Shared<PairRoom> room;
  const PreferenceTotals totals = plan.totals(0, 0);
  const PreferenceSums sums = halving_sum_of_block(
      plan.pairs(), *room, [&](std::int64_t pair) { return plan.finish_empty_pair(totals, pair); });
  if (threadIdx.x == 0) plan.write_totals(sums);
}

__global__ __launch_bounds__(kGridThreads) void tokens_kernel(
    const __grid_constant__ PreferenceCall call) {
  const PreferenceRows& rows = call.rows;
  const std::int64_t kept = rows.totals->kept;
  each_by_thread(call.plan.logits.rows, [&](std::int64_t i) {
    const ListedRow at = rows.list[i];
    if (i >= kept) return call.plan.write_masked(at.row);
    const PreferenceSlope slope = rows.slopes[at.sequence];
    rows.derivatives[at.row] = {slope.g};
    call.plan.write_token(at.row, slope, rows.logps[at.row], rows.status[at.row]);
  });
}

}  // namespace

Status finish_preferences(const PreferenceCall& call, const Context& context) {
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>(call.plan.sequences.count, 1, 4096));
  LOGSUM_RETURN_IF_ERROR(
      launch_kernel(sequences_kernel, blocks, kSequenceThreads, 0, context, call));
  LOGSUM_RETURN_IF_ERROR(launch_kernel(pairs_kernel, 1, kPairThreads, 0, context, call));
  return launch_kernel(tokens_kernel, grid_for(call.plan.logits.rows, kGridThreads), kGridThreads,
                       0, context, call);
}

Status finish_without_tokens(const PreferenceLossPlan& plan, const Context& context) {
  return launch_kernel(empty_pairs_kernel, 1, kPairThreads, 0, context, plan);
}

}  // namespace logsum::cuda
