// SPDX-License-Identifier: Apache-2.0
// token_logprobs, once a row's tiles are measured: log-probs of the targets, ranks, the best N, and
// the row's own results. By one warp.
#pragma once

#include "cuda/device/measure.cuh"
#include "cuda/device/row.cuh"
#include "cuda/device/top.cuh"
#include "cuda/token_logprobs_call.hpp"

namespace logsum::cuda {

struct ScoreRow {
  Place kept[TokenLogprobsCall::kKept];
  float temperature;

  __device__ __forceinline__ void prepare_places(const TokenLogprobsCall& call, std::int64_t row) {
    keep_places(kept, call.kept, row);
  }
  __device__ __forceinline__ void prepare(const TokenLogprobsCall& call, std::int64_t row) {
    if (warp_lane() == 0) temperature = call.temperature(row);
  }
};

// Log-probs of a row's targets, where the row has any.
template <DType kDType>
__device__ __forceinline__ TargetsSeen write_targets(const TokenLogprobsCall& call,
                                                     const ScoreRow& shared,
                                                     const WarpRow<kDType>& logits, bool ok,
                                                     const RowNorm& norm, std::int64_t first_target,
                                                     float first_logit) {
  TargetsSeen seen;
  for (std::int64_t k = warp_lane(); k < call.targets_per_row; k += kWarp) {
    const bool is_first = k < kWarp;
    const std::int64_t target =
        is_first ? first_target : shared.kept[TokenLogprobsCall::kTargets].integer(k);
    const bool is_scored = call.is_scored(target), is_ignored = target == call.ignore_index;
    seen.add(is_ignored, is_scored);
    float logprob = is_ignored ? 0.0f : kNan;
    if (ok && is_scored) logprob = norm.logprob(is_first ? first_logit : logits.value(target));
    shared.kept[TokenLogprobsCall::kLogprobs].set(k, logprob);
    shared.kept[TokenLogprobsCall::kRank].set_integer(k, 0);
  }
  seen.all_ignored = __all_sync(~0u, seen.all_ignored) && call.targets_per_row > 0;
  seen.any_bad = __any_sync(~0u, seen.any_bad);
  return seen;
}

template <DType kDType>
__device__ __noinline__ void write_ranks(const TokenLogprobsCall& call, const ScoreRow& shared,
                                         WarpRow<kDType> logits, const TileRecord* records) {
  for (std::int64_t k = 0; k < call.targets_per_row; ++k) {
    const std::int64_t target = shared.kept[TokenLogprobsCall::kTargets].integer(k);
    if (!call.is_scored(target)) continue;
    const std::int64_t above = count_greater(logits, records, logits.value(target));
    __syncwarp();  // the 0 is written
    if (warp_lane() == 0) shared.kept[TokenLogprobsCall::kRank].set_integer(k, 1 + above);
  }
}

// Not inlined: the loop around it must stay small.
template <class Kind>
__device__ __noinline__ void finish_score(const TokenLogprobsCall& call, std::int64_t row,
                                          const TileRecord* records, const ScoreRow& shared) {
  using Kept = TokenLogprobsCall::Kept;
  const WarpRow<Kind::kDType> logits(call.logits, row);
  // Asked for before the records are joined, so that it arrives meanwhile.
  const std::int64_t first_target = warp_lane() < call.targets_per_row
                                        ? shared.kept[Kept::kTargets].integer(warp_lane())
                                        : call.ignore_index;
  const float first_logit = call.is_scored(first_target) ? logits.value(first_target) : 0.0f;
  const float t = shared.temperature;
  RowStatus status;
  const RowMeasure measure = join_records<Kind::kMoment>(logits, records, status);
  if (!is_valid_temperature(t)) status = RowStatus::bad_parameter;

  const bool ok = status == RowStatus::ok;
  float lse = lse_of_failed(status), entropy = kNan;
  std::int64_t argmax = -1;
  RowNorm norm;
  if (ok) {
    const Temperature temperature(t);
    norm = RowNorm(measure, temperature, Kind::Exp::weight_of_max(measure, temperature));
    lse = row_lse(measure, norm, temperature);
    if (Kind::kMoment) entropy = row_entropy(measure, norm, temperature);
    if (shared.kept[Kept::kArgmax]) argmax = logits.argmax(measure, records);
  }
  const TargetsSeen targets =
      write_targets(call, shared, logits, ok, norm, first_target, first_logit);
  if (ok && shared.kept[Kept::kRank]) write_ranks(call, shared, logits, records);
  if (call.top_n > 0)
    write_top(logits, records, call.top_n, ok, norm, call.top_ids.place(row),
              call.top_logprobs.place(row));
  if (warp_lane() != 0) return;
  shared.kept[Kept::kLse].set(0, lse);
  shared.kept[Kept::kEntropy].set(0, entropy);
  shared.kept[Kept::kArgmax].set_integer(0, argmax);
  shared.kept[Kept::kRowStatus].set_integer(0, static_cast<int>(targets.status(status)));
}

}  // namespace logsum::cuda
