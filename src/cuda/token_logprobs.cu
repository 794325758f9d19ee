// SPDX-License-Identifier: Apache-2.0
// token_logprobs on the GPU: the row visit, and what a warp does with a measured row. One launch.
#include "core/backend.hpp"
#include "cuda/device/finish_score.cuh"
#include "cuda/launch.cuh"
#include "cuda/token_logprobs_call.hpp"

namespace logsum::cuda {
namespace {

template <class KindOf>
struct Score {
  using Call = TokenLogprobsCall;
  using Kind = KindOf;
  using Row = ScoreRow;

  __device__ __forceinline__ static void finish(const Call& call, std::int64_t row,
                                                TileRecord* records, Row& shared) {
    finish_score<Kind>(call, row, records, shared);
  }
};

}  // namespace

Status token_logprobs(const TokenLogprobsPlan& plan, const Context& context) {
  const TokenLogprobsCall call(plan);
  return with_kind(plan.logits.dtype, context, [&]<DType kDType, class Exp>() {
    if (plan.entropy)
      return launch<Score<MeasureKind<kDType, Exp, true, false>>>(call, plan.logits.rows, context);
    return launch<Score<MeasureKind<kDType, Exp, false, false>>>(call, plan.logits.rows, context);
  });
}

}  // namespace logsum::cuda
