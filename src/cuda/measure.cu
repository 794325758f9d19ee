// SPDX-License-Identifier: Apache-2.0
// measure on the GPU: the row visit, whose records are the result.
#include "core/backend.hpp"
#include "cuda/device/row.cuh"
#include "cuda/launch.cuh"
#include "cuda/rows_in_order.hpp"
#include "ops/shards.hpp"

namespace logsum::cuda {
namespace {

struct MeasureCall : MeasurePlan, RowsInOrder {};

struct NothingAhead {
  __device__ void prepare_places(const MeasureCall&, std::int64_t) {}
  __device__ void prepare(const MeasureCall&, std::int64_t) {}
};

// Looks up the argmax in the one record that can win the row.
template <class Kind>
__device__ __noinline__ void write_records(const MeasureCall& call, std::int64_t row,
                                           const TileRecord* records) {
  const WarpRow<Kind::kDType> logits(call.logits, row);
  const auto tiles = static_cast<int>(logits.tiles());
  TileRecord* const out = call.records.row(row);
  const float t = call.temperature(row);
  const bool is_measured = t == 0.0f || is_valid_temperature(t);
  const RowMeasure measure = join_by_warp<false>(StoredRecords{records}, tiles, logits.columns());
  const std::int64_t best = is_measured ? measure.max_tile : -1;
  const int argmax = best < 0 ? -1 : logits.find_in_tile(best, measure.max);
  for (int i = warp_lane(); i < tiles; i += kWarp) {
    TileRecord record = is_measured ? load_record(records + i) : TileRecord();
    if (!call.moment) record.moment = 0.0f;
    record.argmax = i == best ? argmax : -1;
    out[i] = record;
  }
  if (!call.targets || warp_lane() != 0) return;
  const std::int64_t column = call.target_column(row);
  call.target_logits.set(row, column < 0 ? kNegInf : logits.value(column));
}

template <class KindOf>
struct Measure {
  using Call = MeasureCall;
  using Kind = KindOf;
  using Row = NothingAhead;

  __device__ __forceinline__ static void finish(const Call& call, std::int64_t row,
                                                TileRecord* records, Row&) {
    write_records<Kind>(call, row, records);
  }
};

}  // namespace

Status measure(const MeasurePlan& plan, const Context& context) {
  return with_kind(plan.logits.dtype, context, [&]<DType kDType, class Exp>() {
    return launch<Measure<MeasureKind<kDType, Exp, true, false>>>(MeasureCall{plan, {}},
                                                                  plan.logits.rows, context);
  });
}

}  // namespace logsum::cuda
