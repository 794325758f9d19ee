// SPDX-License-Identifier: Apache-2.0
// Losses in rings (visit_rings.cuh): rows that count are measured, scored, and their gradients
// written, from one read. Those that don't have been filled with 0 before (launch_loss_ring.cuh).
//
// A Loss has
//
//   Call         a LossCallOf
//   Ahead        a LossAhead (call, totals, listed row): what of a row is known before
//   derivatives(call, Ahead, scored)   RowDerivatives but for Ahead::factor, by a warp; of a row
//                that couldn't be scored too
//   derives_early(call)                whether they need neither log-prob nor lse, which are then
//                made while the row is being written
//   kHasShare    whether they have an s
//   kKeepsLse    whether it asks for a row's lse afterwards
//   kJoinsAnew   as of an Op (visit_rings.cuh)
#pragma once

#include "cuda/device/last_block.cuh"
#include "cuda/device/ring_logits.cuh"
#include "cuda/device/row_gradient.cuh"
#include "cuda/device/target_row.cuh"
#include "cuda/loss_call.hpp"

namespace logsum::cuda {

struct LossAhead : LogitsAhead {
  double factor;  // grad_scale/T
  int target;     // −1: none that can be scored
  bool is_valid;

  __device__ __forceinline__ LossAhead(const LossPlan& plan, const LossTotals& totals,
                                       std::int64_t row)
      : LogitsAhead(plan.temperature(row)) {
    factor = totals.grad_scale / static_cast<double>(temperature.t);
    const std::int64_t given = plan.targets.integer(row);
    target = plan.has_target(given) ? static_cast<int>(given) : -1;
    is_valid = totals.is_valid && is_valid_temperature(temperature.t);
  }

  __device__ __forceinline__ int left_out() const { return target; }
};

// What is sent of a row.
template <class Gradient>
struct alignas(8) LossRow {
  Gradient gradient;
  float at_target = 0;
};

template <class Loss, DType kDTypeOf, class ExpOf, bool kEntropy>
struct LossRing {
  using Call = typename Loss::Call;
  using Kind = MeasureKind<kDTypeOf, ExpOf, kEntropy, false>;
  using Record = TileRecord;
  using Room = TileRoom<Kind>;
  using Measure = MeasureLogits<LossRing>;
  using Ahead = typename Loss::Ahead;
  struct Note {};
  using Row = LossRow<KnownGradient<kDTypeOf, ExpOf>>;
  static constexpr DType kDType = kDTypeOf;
  static constexpr RingUse kUse = kEntropy ? RingUse::loss_with_entropy : RingUse::loss;
  static constexpr bool kByHardware = std::is_same_v<ExpOf, Hardware>;
  static constexpr int kInputs = 1;

  struct Joined {
    ScoredRow scored;
    RowMeasure measure;
    float weight, target_logit;
  };

  LOGSUM_HOST_DEVICE static const RowsView& input(const Call& call, int) { return call.logits; }
  LOGSUM_HOST_DEVICE static const RowsView& output(const Call& call) {
    return call.plan.grad_logits;
  }
  __device__ __forceinline__ static std::int64_t rows(const Call& call, const RingSpace&) {
    return call.rows.totals->kept;
  }
  static constexpr bool kIsPrepared = true, kJoinsAnew = Loss::kJoinsAnew;
  using Prepared = RingPrepared<LossRing>;
  static_assert(sizeof(Prepared) <= LossRows::kPreparedBytes);
  __device__ __forceinline__ static Prepared* prepared(const Call& call) {
    return reinterpret_cast<Prepared*>(call.rows.prepared);
  }
  __device__ __forceinline__ static void prepare(const Call& call, std::int64_t i) {
    const ListedRow at = call.rows.list[i];
    const Prepared row{{row_address(call.logits, at.row)},
                       {output(call).data + output(call).index.offset(at.row), at.row,
                        Ahead(call, *call.rows.totals, at)}};
    row.put(prepared(call)[i]);
  }

  __device__ __forceinline__ static TileRecord look_again(const Call& call, std::int64_t row,
                                                          int record, int why, const Ahead& ahead) {
    if (record < tile_count(call.logits.columns))
      return cuda::look_again<Kind>(call.logits, row, record, why, ahead);
    const int target = ::max(ahead.target, 0);
    TileRecord without =
        record_without_target<kDType, ExpOf>(call.logits, row, target, ahead.of_tiles);
    without.moment = load_element(
        row_address(call.logits, row) + std::int64_t{target} * size_of(kDType), kDType);
    return without;
  }

  __device__ __forceinline__ static Row join(const Call& call, std::int64_t row, const Ahead& ahead,
                                             const TileRecord* records, Joined& joined) {
    const std::int64_t columns = call.logits.columns;
    const auto tiles = static_cast<int>(tile_count(columns));
    ScoredRow& scored = joined.scored;
    scored.status = RowStatus::bad_parameter;
    if (ahead.is_valid) {
      const TileRecord* const without = records + tiles;
      joined.target_logit = load_record(without).moment;
      OthersOfTarget others(records, ahead.target / kTile, without);
      joined.measure = join_records<Kind::kMoment>(records, tiles, columns, scored.status, others);
      if (scored.status == RowStatus::ok) {
        joined.weight = ExpOf::weight_of_max(joined.measure, ahead.temperature);
        begin_score(scored, joined.measure, joined.weight);
        scored.rest = others.rest(joined.measure, tiles, columns);
        if (!Loss::derives_early(call)) score(ahead, joined, scored);
        check_target(scored, ahead.target >= 0);
      }
    }
    RowDerivatives d = Loss::derivatives(call, ahead, scored).times(ahead.factor);
    if constexpr (!kEntropy) d.c = 0;
    if constexpr (!Loss::kHasShare) d.s = 0;
    GradientRest<kDType, ExpOf> rest;
    const Row known = {
        known_gradient<kDType, ExpOf>(scored, ahead.temperature, d, ahead.target, rest),
        static_cast<float>(gradient_at_target(scored, d))};
    if constexpr (kHasRest)
      if (is_careful(known.gradient)) keep_rest(call, row, rest);
    return known;
  }

  __device__ __forceinline__ static void write_results(const Call& call, std::int64_t row,
                                                       const Ahead& ahead, const Joined& joined) {
    ScoredRow scored = joined.scored;
    const bool has_target = scored.status != RowStatus::bad_target;
    if (Loss::derives_early(call) && (scored.status == RowStatus::ok || !has_target)) {
      // Only now there is a log-prob, to be kept or not.
      scored.status = RowStatus::ok;
      score(ahead, joined, scored);
      check_target(scored, has_target);
    }
    if (warp_lane() != 0) return;
    call.rows.status[row] = scored.status;
    call.rows.logps[row] = scored.logp;
    call.rows.entropies[row] = scored.entropy;
    if constexpr (Loss::kKeepsLse) call.rows.lses[row] = scored.lse;
  }

  __device__ __forceinline__ static void emit(const Call& call, const RingRow<LossRing>& row,
                                              const Note&, const RingChunk<LossRing>& chunk) {
    const Row& known = row.known;
    const auto& gradient = known.gradient;
    if (gradient.fate != RowGradient::Fate::computed)
      return chunk.fill(gradient.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    const auto slowly = [&](const auto& f) { chunk.write_slowly(f); };
    if (is_careful(gradient)) {
      if constexpr (kHasRest) write_carefully(kept_rest(call, row.given.row), slowly);
    } else {
      write_gradient<kEntropy>(
          gradient, [&](const auto& f) { chunk.write(f); }, slowly);
    }
    if (chunk.has(gradient.target)) chunk.patch(gradient.target, known.at_target);
  }

 private:
  static constexpr bool kHasRest = std::is_same_v<GradientRest<kDType, ExpOf>, CarefulGradient>;

  __device__ __forceinline__ static void score(const Ahead& ahead, const Joined& joined,
                                               ScoredRow& scored) {
    end_score(scored, joined.measure, ahead.temperature, joined.weight, joined.target_logit);
    if constexpr (kEntropy)
      scored.entropy = row_entropy(joined.measure, scored.norm, ahead.temperature);
  }

  // What a careful row needs, which is rare, goes through global memory: all CTAs of a cluster wait
  // for what is sent to them.
  __device__ __noinline__ static void keep_rest(const Call& call, std::int64_t row,
                                                CarefulGradient rest) {
    if (warp_lane() == 0) call.rows.rests[row] = std::bit_cast<LossRows::Rest>(rest);
    __threadfence();
    __syncwarp();
  }
  __device__ __forceinline__ static CarefulGradient kept_rest(const Call& call, std::int64_t row) {
    return std::bit_cast<CarefulGradient>(load_past_l1(call.rows.rests + row));
  }
};

}  // namespace logsum::cuda
