// SPDX-License-Identifier: Apache-2.0
// Losses in rings (visit_rings.cuh): rows that count are measured, scored, and their gradients
// written, from one read; rows that don't are filled with 0 by a warp of their own.
//
// A Loss has
//
//   Call         a LossCallOf
//   Ahead        a LossAhead (call, totals, listed row): what of a row is known before
//   derivatives(call, Ahead, scored, measure)   RowDerivatives but for Ahead::factor, by a warp;
//                of a row that couldn't be scored too
//   kHasShare    whether they have an s
//   kKeepsLse    whether it asks for a row's lse afterwards
#pragma once

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

template <class Loss, DType kDTypeOf, class ExpOf, bool kEntropy>
struct LossRing {
  using Call = typename Loss::Call;
  using Kind = MeasureKind<kDTypeOf, ExpOf, kEntropy, false>;
  using Record = TileRecord;
  using Room = TileRoom<Kind>;
  using Measure = MeasureLogits<LossRing>;
  using Ahead = typename Loss::Ahead;
  struct Note {};
  using Row = KnownGradient<kDTypeOf, ExpOf>;
  static constexpr DType kDType = kDTypeOf;
  static constexpr RingUse kUse = kEntropy ? RingUse::loss_with_entropy : RingUse::loss;
  static constexpr bool kByHardware = std::is_same_v<ExpOf, Hardware>;
  static constexpr int kInputs = 1;

  struct Joined {
    ScoredRow scored;
    RowMeasure measure;
    RowDerivatives d;  // with all factors
  };
  struct Late {
    float at_target;
    int unused;  // 8 bytes travel at a time
  };

  LOGSUM_HOST_DEVICE static const RowsView& input(const Call& call, int) { return call.logits; }
  LOGSUM_HOST_DEVICE static const RowsView& output(const Call& call) {
    return call.plan.grad_logits;
  }
  __device__ __forceinline__ static std::int64_t rows(const Call& call, const RingSpace&) {
    return call.rows.totals->kept;
  }
  static constexpr bool kIsPrepared = true;
  struct alignas(16) Prepared {
    const std::byte* input;
    RingGiven<LossRing> given;
  };
  static_assert(sizeof(Prepared) <= LossRows::kPreparedBytes);
  __device__ __forceinline__ static const Prepared* prepared(const Call& call) {
    return reinterpret_cast<const Prepared*>(call.rows.prepared);
  }
  __device__ __forceinline__ static void prepare(const Call& call, std::int64_t i) {
    const ListedRow at = call.rows.list[i];
    Prepared& slot = reinterpret_cast<Prepared*>(call.rows.prepared)[i];
    // A ring fetches the slot whole, so the padding between its members is written too.
    static_assert(sizeof(Prepared) % sizeof(uint4) == 0 && alignof(Prepared) % alignof(uint4) == 0);
#pragma unroll
    for (int word = 0; word < static_cast<int>(sizeof(Prepared) / sizeof(uint4)); ++word)
      reinterpret_cast<uint4*>(&slot)[word] = {};
    slot = {row_address(call.logits, at.row),
            {output(call).data + output(call).index.offset(at.row), at.row,
             Ahead(call, *call.rows.totals, at)}};
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

  __device__ __forceinline__ static Row join(const Call& call, const Ahead& ahead,
                                             const TileRecord* records, Joined& joined) {
    const std::int64_t columns = call.logits.columns;
    ScoredRow& scored = joined.scored;
    scored.status = RowStatus::bad_parameter;
    if (ahead.is_valid) {
      const float target_logit = load_record(records + tile_count(columns)).moment;
      scored =
          score_target<Kind>(records, columns, ahead.temperature, target_logit, joined.measure);
    }
    if (scored.status == RowStatus::ok && ahead.target < 0) {
      scored.status = RowStatus::bad_target;
      scored.logp = kNan;
    }
    joined.d = Loss::derivatives(call, ahead, scored, joined.measure).times(ahead.factor);
    if constexpr (!kEntropy) joined.d.c = 0;
    if constexpr (!Loss::kHasShare) joined.d.s = 0;
    return known_gradient<kDType, ExpOf>(scored, ahead.temperature, joined.d, ahead.target);
  }
  __device__ __forceinline__ static Late finish(const Call& call, const Ahead& ahead,
                                                const TileRecord* records, Joined& joined) {
    if (joined.scored.status != RowStatus::ok) return {};
    const std::int64_t columns = call.logits.columns;
    joined.scored.rest =
        rest_of_row(records, columns, ahead.target, records + tile_count(columns), joined.measure);
    return {static_cast<float>(gradient_at_target(joined.scored, joined.d)), 0};
  }

  __device__ __forceinline__ static void write_results(const Call& call, std::int64_t row,
                                                       const Joined& joined) {
    if (warp_lane() != 0) return;
    call.rows.status[row] = joined.scored.status;
    call.rows.logps[row] = joined.scored.logp;
    call.rows.entropies[row] = joined.scored.entropy;
    if constexpr (Loss::kKeepsLse) call.rows.lses[row] = joined.scored.lse;
  }

  __device__ __forceinline__ static void emit(const Row& known, const Note&,
                                              const RingChunk<LossRing>& chunk) {
    if (known.fate != RowGradient::Fate::computed)
      return chunk.fill(known.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    write_gradient<kEntropy>(
        known, [&](const auto& f) { chunk.write(f); },
        [&](const auto& f) { chunk.write_slowly(f); });
  }
  __device__ __forceinline__ static bool awaits(const Row& known,
                                                const RingChunk<LossRing>& chunk) {
    return known.fate == RowGradient::Fate::computed && chunk.has(known.target);
  }
  __device__ __forceinline__ static void emit_late(const Row& known, const Late& late,
                                                   const RingChunk<LossRing>& chunk) {
    chunk.patch(known.target, late.at_target);
  }

  // Rows that don't count, those of all CTAs in turns, 4 KB at a time.
  class Filler {
   public:
    __device__ __forceinline__ Filler(const Call& call, const RingSpace& space)
        : i_(blockIdx.x), masked_(space.rows - call.rows.totals->kept) {}

    __device__ __forceinline__ bool has_more() const { return i_ < masked_; }

    __device__ __forceinline__ void fill_some(const Call& call, const RingSpace& space) {
      constexpr int kPiece = 4096, kBytes = size_of(kDType);
      const RowsView& grad = output(call);
      std::byte* const row = grad.data + grad.index.offset(call.rows.list[space.rows - 1 - i_].row);
      const int bytes = space.columns * kBytes, end = min(at_ + kPiece, bytes);
#pragma unroll
      for (int i = 0; i < kPiece / (kWarp * 16); ++i) {
        const int at = at_ + (i * kWarp + warp_lane()) * 16;
        if (at + 16 <= end) *reinterpret_cast<uint4*>(row + at) = {};
      }
      at_ = end;
      if (at_ < bytes) return;
      const int at = bytes / 16 * 16 + warp_lane() * kBytes;
      if (at < bytes) {
        if constexpr (kDType == DType::f32)
          *reinterpret_cast<float*>(row + at) = 0;
        else
          *reinterpret_cast<std::uint16_t*>(row + at) = 0;
      }
      i_ += gridDim.x;
      at_ = 0;
    }

   private:
    std::int64_t i_;  // of the rows that don't count
    std::int64_t masked_;
    int at_ = 0;  // bytes of the row
  };
};

}  // namespace logsum::cuda
