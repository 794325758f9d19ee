// SPDX-License-Identifier: Apache-2.0
#include "cuda/measured_rows.hpp"

#include "cuda/device/row_at_temperature.cuh"
#include "cuda/launch.cuh"

namespace logsum::cuda {
namespace {

struct MeasuredRow {
  Place outputs[MeasuredRowsCall::kOutputs];
  float temperature;

  __device__ __forceinline__ void prepare_places(const MeasuredRowsCall& call, std::int64_t row) {
    keep_places(outputs, call.outputs, row);
  }
  __device__ __forceinline__ void prepare(const MeasuredRowsCall& call, std::int64_t row) {
    if (warp_lane() == 0) temperature = call.temperature(row);
  }
};

// Not inlined: the loop around it must stay small.
template <class Kind>
__device__ __noinline__ void write_measured_row(const MeasuredRowsCall& call, std::int64_t row,
                                                const TileRecord* records,
                                                const MeasuredRow& shared) {
  using Call = MeasuredRowsCall;
  const RowAtTemperature<Kind> joined(call.logits, records, Temperature(shared.temperature));
  if (warp_lane() != 0) return;

  const RowStatus status = joined.status;
  float lse = lse_of_failed(status);
  if (status == RowStatus::ok) {
    const RowNorm norm = joined.norm();
    lse = row_lse(joined.measure, norm, joined.temperature);
    if (call.kept == Call::Kept::norm) call.rows[row].norm = norm;
    if (call.kept == Call::Kept::exp) call.rows[row].exp = joined.exp();
  }
  if (call.kept != Call::Kept::nothing) call.rows[row].status = status;
  shared.outputs[Call::kLse].set(0, lse);
  shared.outputs[Call::kRowStatus].set_integer(0, static_cast<int>(status));
}

template <class KindOf>
struct MeasureRows {
  using Call = MeasuredRowsCall;
  using Kind = KindOf;
  using Row = MeasuredRow;

  __device__ __forceinline__ static void finish(const Call& call, std::int64_t row,
                                                TileRecord* records, Row& shared) {
    write_measured_row<Kind>(call, row, records, shared);
  }
};

}  // namespace

Status measure_rows(const MeasuredRowsCall& call, const Context& context) {
  return with_kind(call.logits.dtype, context, [&]<DType kDType, class Exp>() {
    if (call.logits.stride == 1)
      return launch<MeasureRows<MeasureKind<kDType, Exp, false, false>>>(call, call.logits.rows,
                                                                         context);
    return launch<MeasureRows<MeasureKind<kDType, Exp, false, false, true>>>(call, call.logits.rows,
                                                                             context);
  });
}

}  // namespace logsum::cuda
