// SPDX-License-Identifier: Apache-2.0
// distill_loss in rings (visit_rings.cuh), of logits and gradients of one dtype of two bytes by
// quick_divergence.cuh: a row is measured in both matrices, compared, and its gradients written,
// from one read of each. "a" and "b" are the divergence's first and second (DistillLossPlan).
#pragma once

#include "cuda/device/quick_divergence.cuh"
#include "cuda/device/ring_logits.cuh"
#include "cuda/device/row_at_temperature.cuh"
#include "cuda/distill_call.hpp"
#include "cuda/distill_room.hpp"

namespace logsum::cuda {

template <bool kIsJsd>
struct DistillRingCall : DistillCall {
  QuickDivergence<kIsJsd> quick;

  explicit DistillRingCall(const DistillCall& call) : DistillCall(call), quick(call.plan.beta) {}
};

// What is known of a row before it is read.
struct DistillAhead {
  TileTemperature of_tiles[2];
  Temperature a, b;
  std::byte* out_b;  // where b's gradient begins
  bool writes_a, writes_b;
  float factor_a, factor_b;  // of gradients, with 2^-lift
  bool has_room;

  // Weights are those of the divergence; a KL's are 1.
  __device__ __forceinline__ DistillAhead(const DistillCall& call, std::int64_t row, float weight_a,
                                          float weight_b)
      : DistillAhead(call, row, call.plan.first().temperature(row),
                     call.plan.second().temperature(row), weight_a, weight_b) {}

 private:
  __device__ __forceinline__ DistillAhead(const DistillCall& call, std::int64_t row, float ta,
                                          float tb, float weight_a, float weight_b)
      : of_tiles{TileTemperature(ta), TileTemperature(tb)},
        a(ta),
        b(tb),
        out_b(out_of(call.plan.second(), row)),
        writes_a(call.plan.first().grad.data != nullptr),
        writes_b(call.plan.second().grad.data != nullptr) {
    const double factor = call.kept.totals->factor;
    has_room = cuda::has_room(call.plan.divergence == Divergence::jsd, factor,
                              static_cast<double>(ta), static_cast<double>(tb));
    DivergenceGradient gradient({}, weight_a / ta, weight_b / tb);
    gradient.multiply(factor * QuickRow::kUnlift);
    factor_a = gradient.factor_a;
    factor_b = gradient.factor_b;
  }

 public:
  // Where a side's gradient begins in a row; where none is wanted, its logits do.
  __device__ __forceinline__ static std::byte* out_of(const DistillLossPlan::Side& side,
                                                      std::int64_t row) {
    const RowsView& view = side.grad.data == nullptr ? side.logits : side.grad;
    return view.data + view.index.offset(row);
  }
};

template <DType kDTypeOf, bool kIsJsd>
struct DistillRing {
  using Call = DistillRingCall<kIsJsd>;
  using Kind = MeasureKind<kDTypeOf, Hardware, false, false>;
  using Record = TileRecord;
  using Room = TileRoom<Kind>;
  using Measure = MeasureLogits<DistillRing>;
  using Ahead = DistillAhead;
  using Fate = DistillLossPlan::Fate;
  struct Note {};
  static constexpr DType kDType = kDTypeOf;
  static constexpr RingUse kUse = RingUse::divergence;
  static constexpr bool kByHardware = true;
  static constexpr int kInputs = 2;

  struct alignas(8) Middle {
    QuickPair rows;
    bool compares;  // else its chunks add nothing
  };
  struct alignas(16) Sums {
    float divergence, mean_a, mean_b;
    float beyond;  // 1: a column is
  };
  struct Kept {
    RowStatus status_a, status_b;
    float max_a, max_b;
    double ratio_a, ratio_b;
    float at_max_a, at_max_b;  // with their lift
  };
  // What emission knows beside Middle.
  struct alignas(8) Row {
    float at_max_a, at_max_b;
    DivergenceGradient gradient;
    std::int16_t fate_a, fate_b;  // Fate; kLeft: the row isn't written here
  };
  static constexpr std::int16_t kLeft = -1;
  struct Joined {
    DistilledRow row;
    Kept kept;
    unsigned left;
  };

  LOGSUM_HOST_DEVICE static const RowsView& input(const Call& call, int i) {
    return i == 0 ? call.plan.first().logits : call.plan.second().logits;
  }
  __device__ __forceinline__ static std::int64_t rows(const Call& call, const RingSpace&) {
    return call.kept.totals->counted;
  }
  static constexpr bool kIsPrepared = true;
  using Prepared = RingPrepared<DistillRing>;
  static_assert(sizeof(Prepared) <= DistillRows::kPreparedBytes);
  __device__ __forceinline__ static Prepared* prepared(const Call& call) {
    return reinterpret_cast<Prepared*>(call.kept.prepared);
  }
  __device__ __forceinline__ static void prepare(const Call& call, std::int64_t i) {
    const std::int64_t row = call.listed(i);
    const Ahead ahead(call, row, kIsJsd ? call.quick.weight_a() : 1.0f,
                      kIsJsd ? call.quick.weight_b() : 1.0f);
    const Prepared prepared_row{
        {row_address(input(call, 0), row), row_address(input(call, 1), row)},
        {Ahead::out_of(call.plan.first(), row), row, ahead}};
    prepared_row.put(prepared(call)[i]);
  }

  __device__ __forceinline__ static TileRecord look_again(const Call& call, std::int64_t row,
                                                          int record, int why, const Ahead& ahead) {
    const auto tiles = static_cast<int>(tile_count(call.plan.columns()));
    const int side = record >= tiles;
    const TileRecord again = cuda::look_again<Kind>(
        stored_tile<Kind>(input(call, side), row, static_cast<unsigned>(record - side * tiles)),
        ahead.of_tiles[side], static_cast<Trouble>(why));
    return again;
  }

  // What is made of the two measures is made at once, each by half of the warp: one instruction of
  // a warp that is alone takes as long as some of several.
  __device__ __forceinline__ static Middle join_measures(const Call& call, std::int64_t,
                                                         const Ahead& ahead,
                                                         const TileRecord* records, Kept& kept) {
    const Measured a = measured(input(call, 0), records, ahead.a);
    const Measured b = measured(input(call, 1), records + tile_count(call.plan.columns()), ahead.b);
    const bool is_b = warp_lane() >= kWarp / 2;
    const Measured mine = is_b ? b : a;
    const double ratio = mine.status == RowStatus::ok ? mine.ratio() : 1;
    const float at_max = QuickRow::at_max_of(ratio, QuickRow::kSumLift);
    const float lifted = QuickRow::at_max_of(ratio, QuickRow::kLift);
    if (warp_lane() % (kWarp / 2) == 0) {
      (is_b ? kept.status_b : kept.status_a) = mine.status;
      (is_b ? kept.max_b : kept.max_a) = mine.max;
      (is_b ? kept.ratio_b : kept.ratio_a) = ratio;
      (is_b ? kept.at_max_b : kept.at_max_a) = lifted;
    }
    __syncwarp();
    Middle middle;
    middle.compares =
        call.kept.totals->is_valid && a.status == RowStatus::ok && b.status == RowStatus::ok;
    middle.rows.a.max = a.max;
    middle.rows.a.c = ahead.a.c;
    middle.rows.a.at_max = __shfl_sync(~0u, at_max, 0);
    middle.rows.b.max = b.max;
    middle.rows.b.c = ahead.b.c;
    middle.rows.b.at_max = __shfl_sync(~0u, at_max, kWarp / 2);
    return middle;
  }

  __device__ __forceinline__ static Sums add_up(const Call& call, const RingRow<DistillRing>& row,
                                                const RingChunk<DistillRing>& chunk) {
    if (!row.middle.compares) return {};
    const QuickPair rows = row.middle.rows;
    const StepLayout layout(kDType);
    const TensorTile a(const_cast<std::byte*>(chunk.input(0)), size_of(kDType), kDType);
    const TensorTile b(const_cast<std::byte*>(chunk.input(1)), size_of(kDType), kDType);
    float sums[kSums][kPositions] = {};
    bool is_beyond = false;
#pragma unroll 1
    for (int first = 0; first < chunk.columns; first += kLanes) {
      // Columns that don't exist are −∞ in both.
      const StepValues za = load_step(a, layout, first, kLanes);
      const StepValues zb = load_step(b, layout, first, kLanes);
#pragma unroll
      for (int i = 0; i < kPositions; ++i) {
        is_beyond |= call.quick.is_beyond(rows, za.v[i], zb.v[i]);
        const DivergenceTerms terms = call.quick.terms(rows, za.v[i], zb.v[i]);
        sums[0][i] = __fadd_rn(sums[0][i], terms.divergence);
        sums[1][i] = __fadd_rn(sums[1][i], terms.mean_a);
        if constexpr (kIsJsd) sums[2][i] = __fadd_rn(sums[2][i], terms.mean_b);
      }
    }
    Sums result = {};
    result.divergence = fold(sums[0]);
    result.mean_a = fold(sums[1]);
    if constexpr (kIsJsd)
      result.mean_b = fold(sums[2]);
    else
      result.beyond = __any_sync(~0u, is_beyond) ? 1.0f : 0.0f;
    return result;
  }

  __device__ __forceinline__ static Row join(const Call& call, std::int64_t, const Ahead& ahead,
                                             const Kept& kept, Sums* sums, const RingSpace& space,
                                             Joined& joined) {
    const DistillTotals& totals = *call.kept.totals;
    DistilledRow& row = joined.row;
    row = {};
    row.status = status_of_pair(kept.status_a, kept.status_b);
    if (!totals.is_valid) row.status = RowStatus::bad_parameter;
    joined.kept = kept;
    joined.left = 0;
    if (row.status == RowStatus::ok) {
      if (add_tiles(sums, space.tiles, row.sums)) joined.left |= kAllLeft;
      if (!ahead.has_room) joined.left |= kGradientLeft;
    }
    Row known;
    known.at_max_a = kept.at_max_a;
    known.at_max_b = kept.at_max_b;
    known.gradient = DivergenceGradient(row.sums, ahead.factor_a, ahead.factor_b);
    DistilledRow written = row;
    if (row.status == RowStatus::ok && !fits_f32(row.sums.divergence))
      written.status = RowStatus::overflow;
    known.fate_a = known.fate_b = kLeft;
    if (joined.left == 0) {
      known.fate_a = static_cast<std::int16_t>(call.plan.fate(written, totals, true));
      known.fate_b = static_cast<std::int16_t>(call.plan.fate(written, totals, false));
    }
    return known;
  }

  __device__ __forceinline__ static void write_results(const Call& call, std::int64_t i,
                                                       const Ahead&, Joined& joined) {
    if (warp_lane() != 0) return;
    DistilledRow& row = joined.row;
    if (joined.left != 0) {
      const MeasuredRow a(joined.kept.max_a, joined.kept.ratio_a);
      const MeasuredRow b(joined.kept.max_b, joined.kept.ratio_b);
      call.kept.measured[i] =
          call.plan.teacher_is_first() ? MeasuredPair{b, a} : MeasuredPair{a, b};
      call.kept.left[i] = joined.left;
      atomicAdd(call.kept.left_rows, 1);
      if (joined.left & kAllLeft) return;
    }
    call.kept.terms[i] = call.plan.write_row(i, *call.kept.totals, row);
    if (joined.left != 0) call.kept.rows[i] = row;
  }

  __device__ __forceinline__ static void emit(const Call& call, const RingRow<DistillRing>& row,
                                              const Note&, const RingChunk<DistillRing>& chunk) {
    const Row known = row.known;
    if (known.fate_a == kLeft) return;
    QuickPair rows = row.middle.rows;
    rows.a.at_max = known.at_max_a;
    rows.b.at_max = known.at_max_b;
    if (row.given.ahead.writes_a)
      write(chunk, known.fate_a, [&](float za, float zb) {
        return call.quick.gradient_a(rows, known.gradient, za, zb);
      });
    if (row.given.ahead.writes_b)
      write(
          RingChunk<DistillRing>(chunk, row.given.ahead.out_b), known.fate_b,
          [&](float za, float zb) { return call.quick.gradient_b(rows, known.gradient, za, zb); });
  }

 private:
  static constexpr int kSums = kIsJsd ? 3 : 2;

  // What a row's records come to.
  struct Measured {
    RowStatus status;
    float max, weight;
    std::uint64_t mass;
    int mass_shift;

    __device__ __forceinline__ double ratio() const {
      RowMeasure row;
      row.mass = mass;
      row.mass_shift = mass_shift;
      return mass_over_largest(row, weight);
    }
  };

  __device__ __forceinline__ static Measured measured(const RowsView& logits,
                                                      const TileRecord* records,
                                                      const Temperature& temperature) {
    const RowAtTemperature<Kind> row(logits, records, temperature);
    return {row.status, row.measure.max, row.weight, row.measure.mass, row.measure.mass_shift};
  }

  // A thread's eight lanes, which follow each other, then the warp's: as fold_chunk
  // (distill_pairs.cu).
  __device__ __forceinline__ static float fold(const float (&l)[kPositions]) {
    float sum = __fadd_rn(__fadd_rn(__fadd_rn(l[0], l[1]), __fadd_rn(l[2], l[3])),
                          __fadd_rn(__fadd_rn(l[4], l[5]), __fadd_rn(l[6], l[7])));
#pragma unroll
    for (int offset = kWarp / 2; offset >= 1; offset /= 2)
      sum = __fadd_rn(sum, __shfl_xor_sync(~0u, sum, offset));
    return sum;
  }

  // Σ over the row's tiles of what their chunks add, both in their order: tiles by a
  // thread each, which puts its sums in place of the chunks', then a thread per sum. Whether a
  // column is beyond.
  __device__ __forceinline__ static bool add_tiles(Sums* chunks, int tiles, DivergenceSums& row) {
    bool is_beyond = false;
    for (int tile = warp_lane(); tile < tiles; tile += kWarp) {
      DivergenceSums sums;
      Sums* const first = chunks + tile * kTileChunks;
#pragma unroll
      for (int i = 0; i < kTileChunks; ++i) {
        const Sums of = first[i];
        sums.add({static_cast<double>(of.divergence), static_cast<double>(of.mean_a),
                  static_cast<double>(of.mean_b)});
        is_beyond |= of.beyond != 0;
      }
      *reinterpret_cast<DivergenceSums*>(first) = sums.times(QuickRow::kSumUnit);
    }
    __syncwarp();
    const int k = ::min(warp_lane(), 2);
    constexpr int kStep = kTileChunks * static_cast<int>(sizeof(Sums) / sizeof(double));
    const double* const of_tiles = reinterpret_cast<const double*>(chunks) + k;
    double sum = 0;
#pragma unroll 8
    for (int tile = 0; tile < tiles; ++tile) sum = __dadd_rn(sum, of_tiles[tile * kStep]);
    row = {__shfl_sync(~0u, sum, 0), __shfl_sync(~0u, sum, 1), __shfl_sync(~0u, sum, 2)};
    return __any_sync(~0u, is_beyond);
  }

  template <class F>
  __device__ __forceinline__ static void write(const RingChunk<DistillRing>& chunk,
                                               std::int16_t fate, const F& f) {
    if (fate != static_cast<std::int16_t>(Fate::computed))
      return chunk.fill(fate == static_cast<std::int16_t>(Fate::zero) ? 0.0f : kNan);
    chunk.write_by_rows(f);
  }
};

}  // namespace logsum::cuda
