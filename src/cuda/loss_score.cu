// SPDX-License-Identifier: Apache-2.0
// Losses: the visit that scores rows for what comes after it.
#include "cuda/device/target_row.cuh"
#include "cuda/launch.cuh"
#include "cuda/loss_call.hpp"

namespace logsum::cuda {
namespace {

struct LossRow {
  float temperature;
  std::int64_t target;
  bool counts;

  __device__ __forceinline__ void prepare_places(const LossCall&, std::int64_t) {}
  __device__ __forceinline__ void prepare(const LossCall& call, std::int64_t row) {
    if (warp_lane() != 0) return;
    counts = call.counts(row);
    temperature = call.temperature(row);
    target = call.plan.targets.integer(row);
  }
};

// Not inlined: the loop around it must stay small.
template <class Kind>
__device__ __noinline__ void keep_score(const LossCall& call, std::int64_t row,
                                        const TileRecord* records, const LossRow& shared) {
  if (!shared.counts) return;
  const std::int64_t target = shared.target;
  const bool has_target = call.plan.has_target(target);
  ScoredRow scored;
  scored.status = RowStatus::bad_parameter;
  if (is_valid_temperature(shared.temperature) && call.totals->is_valid) {
    const Temperature temperature(shared.temperature);
    const WarpRow<Kind::kDType> logits(call.logits, row);
    const float value = has_target ? logits.value(target) : 0.0f;
    TileRecord without;
    const bool derives = has_target && call.plan.wants_gradient();
    if (derives)
      without = record_without_target<Kind::kDType, typename Kind::Exp>(
          call.logits, row, target, TileTemperature(temperature));
    scored = score_target<Kind>(records, call.logits.columns, temperature, value, target,
                                derives ? &without : nullptr);
    check_target(scored, has_target);
  }
  if (warp_lane() != 0) return;
  call.rows.scored[row] = scored;
  call.rows.status[row] = scored.status;
  call.rows.logps[row] = scored.logp;
  call.rows.entropies[row] = scored.entropy;
  if (call.rows.lses) call.rows.lses[row] = scored.lse;
}

template <class KindOf>
struct ScoreRows {
  using Call = LossCall;
  using Kind = KindOf;
  using Row = LossRow;

  __device__ __forceinline__ static void finish(const Call& call, std::int64_t row,
                                                TileRecord* records, Row& shared) {
    keep_score<Kind>(call, row, records, shared);
  }
};

}  // namespace

Status score_rows(const LossCall& call, const Context& context) {
  return with_kind(call.logits.dtype, context, [&]<DType kDType, class Exp>() {
    if (call.plan.has_entropy)
      return launch<ScoreRows<MeasureKind<kDType, Exp, true, false>>>(call, call.logits.rows,
                                                                      context);
    return launch<ScoreRows<MeasureKind<kDType, Exp, false, false>>>(call, call.logits.rows,
                                                                     context);
  });
}

}  // namespace logsum::cuda
