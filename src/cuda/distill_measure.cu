// SPDX-License-Identifier: Apache-2.0
// distill_loss: the visit that measures one side's rows.
#include "cuda/device/row_at_temperature.cuh"
#include "cuda/distill_call.hpp"
#include "cuda/launch.cuh"

namespace logsum::cuda {
namespace {

struct SideCall {
  RowsView logits;
  PerRowView<float> temperature;
  MaskView mask;
  MeasuredPair* measured;
  bool is_teacher;

  LOGSUM_HOST_DEVICE bool looks_up_rows() const { return static_cast<bool>(mask); }
  // Rows that don't count aren't read.
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const {
    return mask.counts(row) ? row : -1;
  }
};

struct SideRow {
  float temperature;
  bool counts;

  __device__ __forceinline__ void prepare_places(const SideCall&, std::int64_t) {}
  __device__ __forceinline__ void prepare(const SideCall& call, std::int64_t row) {
    if (warp_lane() != 0) return;
    counts = call.mask.counts(row);
    temperature = call.temperature(row);
  }
};

// Not inlined: the loop around it must stay small.
template <class Kind>
__device__ __noinline__ void keep_measure(const SideCall& call, std::int64_t row,
                                          const TileRecord* records, const SideRow& shared) {
  MeasuredRow measured;
  if (shared.counts) {
    const RowAtTemperature<Kind> joined(call.logits, records, Temperature(shared.temperature));
    measured = joined.status == RowStatus::ok ? MeasuredRow(joined.measure, joined.weight)
                                              : MeasuredRow(joined.status);
  }
  if (warp_lane() != 0) return;
  MeasuredPair& pair = call.measured[row];
  (call.is_teacher ? pair.teacher : pair.student) = measured;
}

template <class KindOf>
struct MeasureSide {
  using Call = SideCall;
  using Kind = KindOf;
  using Row = SideRow;

  __device__ __forceinline__ static void finish(const Call& call, std::int64_t row,
                                                TileRecord* records, Row& shared) {
    keep_measure<Kind>(call, row, records, shared);
  }
};

}  // namespace

Status measure_side(const DistillCall& call, bool of_teacher, const Context& context) {
  const DistillLossPlan::Side& side = of_teacher ? call.plan.teacher : call.plan.student;
  const SideCall of_side{side.logits, side.temperature, call.plan.mask, call.kept.measured,
                         of_teacher};
  return with_kind(side.logits.dtype, context, [&]<DType kDType, class Exp>() {
    return launch<MeasureSide<MeasureKind<kDType, Exp, false, false>>>(of_side, side.logits.rows,
                                                                       context);
  });
}

}  // namespace logsum::cuda
