// SPDX-License-Identifier: Apache-2.0
// sample on the GPU: the row visit at the temperature, and at 1 where the raw log-prob is asked
// for; then the draws. One launch.
#include "core/backend.hpp"
#include "cuda/device/lead_sample.cuh"
#include "cuda/launch.cuh"
#include "cuda/sample_call.hpp"

namespace logsum::cuda {
namespace {

template <class KindOf>
struct Sample {
  using Call = SampleCall;
  using Kind = KindOf;
  struct Row {
    SampleRow row;
    TileCdfSpace cdf;
    Decision decision;

    __device__ __forceinline__ void prepare_places(const Call& call, std::int64_t i) {
      row.prepare_places(call, i);
    }
    __device__ __forceinline__ void prepare(const Call& call, std::int64_t i) {
      row.prepare(call, i);
    }
  };

  __device__ __forceinline__ static void finish(const Call& call, std::int64_t row,
                                                TileRecord* records, Row& shared) {
    finish_sample<Kind>(call, row, records, shared.row, shared.cdf);
  }
  __device__ __forceinline__ static bool lead(const Call& call, std::int64_t row, int assistants,
                                              const TileRecord* records, Row& shared) {
    return lead_sample<Kind>(call, row, assistants, records, shared.row, shared.decision);
  }
  __device__ __forceinline__ static bool assist(const Call& call, std::int64_t row, int assistant,
                                                int assistants, const TileRecord* records,
                                                const ChunkMaxes* maxes, Row& shared) {
    return assist_sample<Kind>(call, row, assistant, assistants, records, maxes, shared.row,
                               shared.decision);
  }
};

}  // namespace

Status sample(const SamplePlan& plan, const Context& context) {
  const bool raw = plan.temperature.tensor ? static_cast<bool>(plan.raw_logprob)
                                           : plan.needs_raw(plan.temperature.value);
  const SampleCall call(plan);
  return with_kind(plan.logits.dtype, context, [&]<DType kDType, class Exp>() {
    // The entropy's kernel serves both, with and without the raw log-prob: one less to compile.
    if (plan.entropy)
      return launch<Sample<MeasureKind<kDType, Exp, true, true>>>(call, plan.rows, context);
    if (raw) return launch<Sample<MeasureKind<kDType, Exp, false, true>>>(call, plan.rows, context);
    return launch<Sample<MeasureKind<kDType, Exp, false, false>>>(call, plan.rows, context);
  });
}

}  // namespace logsum::cuda
