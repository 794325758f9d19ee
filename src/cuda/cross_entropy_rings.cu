// SPDX-License-Identifier: Apache-2.0
// cross_entropy in rings (device/loss_ring.cuh).
#include "cuda/cross_entropy_call.hpp"
#include "cuda/device/loss_ring.cuh"
#include "cuda/launch_loss_ring.cuh"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

// In the CPU's order: (by the loss · upstream) · grad_scale.
struct CrossEntropyAhead : LossAhead {
  double g, of_lse, upstream;

  __device__ __forceinline__ CrossEntropyAhead(const CrossEntropyCall& call,
                                               const CrossEntropyTotals& totals,
                                               const ListedRow& at)
      : LossAhead(call.plan, totals, at.row), upstream(call.plan.upstream(at.row)) {
    const double weight = call.plan.weight_of_row(at.row);
    g = call.plan.derivatives(totals, weight, 0).g * upstream;
    of_lse = totals.per_z * 2 * call.plan.lse_square_scale;
  }
};

struct ClassOfToken {
  using Call = CrossEntropyCall;
  using Ahead = CrossEntropyAhead;
  static constexpr bool kHasShare = true;
  static constexpr bool kKeepsLse = true;
  static constexpr bool kJoinsAnew = true;

  __device__ __forceinline__ static bool derives_early(const Call& call) {
    return call.plan.lse_square_scale == 0;
  }
  __device__ __forceinline__ static RowDerivatives derivatives(const Call& call, const Ahead& ahead,
                                                               const ScoredRow& scored) {
    if (derives_early(call)) return {ahead.g};
    return {ahead.g, 0, ahead.of_lse * static_cast<double>(scored.lse) * ahead.upstream};
  }
};

}  // namespace

Status cross_entropy_rings(const CrossEntropyCall& call, const Context& context, bool& launched) {
  return with_kind(call.logits.dtype, context, [&]<DType kDType, class Exp>() {
    return launch_loss_ring<LossRing<ClassOfToken, kDType, Exp, false>>(call, context, launched);
  });
}

}  // namespace logsum::cuda
