// SPDX-License-Identifier: Apache-2.0
// softmax and log_softmax on the GPU: in one launch where rows suit rings. Elsewhere rows are
// measured in one launch and written in a second, which reads them again; between the two a
// SoftmaxRow is kept of each.
#include "core/backend.hpp"
#include "cuda/device/emit.cuh"
#include "cuda/device/ring_logits.cuh"
#include "cuda/device/row_at_temperature.cuh"
#include "cuda/launch_rings.cuh"
#include "cuda/launch_tiles.cuh"
#include "cuda/measured_rows.hpp"
#include "cuda/scratch.hpp"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

using Kept = MeasuredRowsCall::Kept;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <Kept kKept, class Exp>
__global__ __launch_bounds__(kTileWarps* kWarp) void write_softmax(
    const __grid_constant__ TileGrid grid, const __grid_constant__ SoftmaxPlan plan,
    const SoftmaxRow* rows) {
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    const SoftmaxRow& known = rows[row];
    const int columns = columns_of_tile(plan.logits, tile);
    const TensorTile logits(plan.logits, row, tile), output(plan.output, row, tile);
    if (known.status != RowStatus::ok) return fill_tile(columns, kNan, output);
    if constexpr (kKept == Kept::exp) {
      if (std::is_same_v<Exp, Hardware> && output.is_narrow())
        write_tile(columns, HardwareSoftmax(known.exp), output, logits);
      else
        write_exponentials<true>(known.exp, columns, output, logits);
    } else {
      const RowNorm norm = known.norm;
      write_tile(
          columns, [norm](float z) { return norm.logprob(z); }, output, logits);
    }
  });
}

// What emission of a chunk asks of its row and, by the polynomial, of the chunk's bounds.
struct RingExp {
  NearExponentials<true> near;
  float high;  // logits below have probabilities below 1, whatever the rounding
  RowStatus status;
  RowExp exp;

  __device__ __forceinline__ RingExp(RowStatus status_, const RowExp& exp_)
      : near(exp_), high(kInfinity), status(status_), exp(exp_) {
    if (exp.at_center > 0.9) high = static_cast<float>(exp.center - 1.0 / exp.c64);  // half of it
  }
};
struct RingHardware {
  HardwareSoftmax exp;
  RowStatus status;
};
struct RingNorm {
  RowNorm norm;
  RowStatus status;
};
struct NoNote {};

template <class KindOf, Kept kKept>
struct RingSoftmax : RingsInOrder {
  using Call = SoftmaxPlan;
  using Kind = KindOf;
  using Record = TileRecord;
  using Room = TileRoom<Kind>;
  using Measure = MeasureLogits<RingSoftmax>;
  static constexpr DType kDType = Kind::kDType;
  static constexpr bool kIsLog = kKept == Kept::norm;
  static constexpr RingUse kUse = kIsLog ? RingUse::log_softmax : RingUse::softmax;
  static constexpr bool kByHardware = std::is_same_v<typename Kind::Exp, Hardware>;
  static constexpr bool kHasNotes = ring_has_notes(kUse, kDType, kByHardware);
  using Row =
      std::conditional_t<kIsLog, RingNorm, std::conditional_t<kHasNotes, RingExp, RingHardware>>;
  static constexpr int kInputs = 1;

  LOGSUM_HOST_DEVICE static const RowsView& input(const Call& call, int) { return call.logits; }
  LOGSUM_HOST_DEVICE static const RowsView& output(const Call& call) { return call.output; }

  using Given = LogitsGiven;
  using Ahead = LogitsAhead;
  using Joined = RowStatus;
  using Note = std::conditional_t<kHasNotes, LogitsNote, NoNote>;

  __device__ __forceinline__ static TileRecord look_again(const Call& call, std::int64_t row,
                                                          int tile, int why, const Ahead& ahead) {
    return cuda::look_again<Kind>(call.logits, row, tile, why, ahead);
  }

  __device__ __forceinline__ static Row join(const Call& call, std::int64_t, const Ahead& ahead,
                                             const TileRecord* records, Joined& status) {
    const RowAtTemperature<Kind> joined(call.logits, records, ahead.temperature);
    status = joined.status;
    const bool is_ok = joined.status == RowStatus::ok;
    if constexpr (kIsLog) {
      return {is_ok ? joined.norm() : RowNorm(), joined.status};
    } else {
      const RowExp exp = is_ok ? joined.exp() : RowExp();
      if constexpr (kHasNotes)
        return {joined.status, exp};
      else
        return {HardwareSoftmax(exp), joined.status};
    }
  }

  __device__ __forceinline__ static void write_results(const Call& call, std::int64_t row,
                                                       const Ahead&, const Joined& status) {
    if (warp_lane() == 0) call.row_status.place(row).set_integer(0, static_cast<int>(status));
  }

  __device__ __forceinline__ static void emit(const Call&, const RingRow<RingSoftmax>& row,
                                              [[maybe_unused]] const Note& note,
                                              const RingChunk<RingSoftmax>& chunk) {
    const Row& known = row.known;
    if (known.status != RowStatus::ok) return chunk.fill(kNan);
    if constexpr (kHasNotes) {
      const NearExponentials<true> near = known.near;
      if (known.exp.is_far)
        chunk.write_slowly([&known](float z) { return known.exp.far(z); });
      else if (note.lowest >= near.low && note.highest < known.high && chunk.is_whole())
        chunk.write([near](float z) { return near.inside(z); });
      else
        chunk.write(near);
    } else if constexpr (kIsLog) {
      const RowNorm norm = known.norm;
      chunk.write([norm](float z) { return norm.logprob(z); });
    } else {
      const HardwareSoftmax exp = known.exp;
      chunk.write(exp);
    }
  }
};

template <Kept kKept>
Status run_twice(const SoftmaxPlan& plan, const Context& context) {
  const TileGrid grid = grid_of({&plan.logits, &plan.output});
  const std::size_t visit = span_bytes(grid.rows, grid.tiles);
  const DeviceScratch scratch(visit + static_cast<std::size_t>(grid.rows) * sizeof(SoftmaxRow),
                              DeviceScratch::Counters::used, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  MeasuredRowsCall call(plan.logits, plan.temperature, plan.row_status);
  call.kept = kKept;
  call.rows = scratch.at<SoftmaxRow>(visit);
  LOGSUM_RETURN_IF_ERROR(measure_rows(call, scratch.in(context)));
  if (kKept == Kept::norm || context.determinism == Determinism::cross_device)
    return launch_tiles(&write_softmax<kKept, Polynomial>, grid, context, plan, call.rows);
  return launch_tiles(&write_softmax<kKept, Hardware>, grid, context, plan, call.rows);
}

template <Kept kKept>
Status run(const SoftmaxPlan& plan, const Context& context) {
  bool launched = false;
  const Status status = with_kind(plan.logits.dtype, context, [&]<DType kDType, class Exp>() {
    return launch_rings<RingSoftmax<MeasureKind<kDType, Exp, false, false>, kKept>>(
        plan, plan.temperature.value, {&plan.logits, &plan.output}, context, launched);
  });
  if (launched || !status.ok()) return status;
  return run_twice<kKept>(plan, context);
}

}  // namespace

Status softmax(const SoftmaxPlan& plan, const Context& context) {
  return run<Kept::exp>(plan, context);
}

Status log_softmax(const SoftmaxPlan& plan, const Context& context) {
  return run<Kept::norm>(plan, context);
}

}  // namespace logsum::cuda
