// SPDX-License-Identifier: Apache-2.0
// policy_loss in a ring (loss_ring.cuh): what is known of a token, and what its loss asks for where
// its ratio is its own.
#pragma once

#include "cuda/device/loss_ring.cuh"
#include "cuda/policy_call.hpp"

namespace logsum::cuda {

struct PolicyAhead : LossAhead {
  bool keeps_loss;        // first: it takes no room behind the base's
  double u, per_entropy;  // the weights of its loss and its entropy in the batch's
  float old, ref, advantage, weight;

  __device__ __forceinline__ PolicyAhead(const PolicyCall& call, const PolicyTotals& totals,
                                         const ListedRow& at)
      : LossAhead(call.plan, totals, at.row) {
    const PolicyLossPlan& plan = call.plan;
    const PolicyToken token = plan.token(at, 0.0f);
    u = plan.unit(totals, static_cast<double>(call.rows.lengths[at.sequence]));
    old = static_cast<float>(token.old);
    ref = static_cast<float>(token.ref);
    advantage = static_cast<float>(token.advantage);
    weight = static_cast<float>(token.weight);
    keeps_loss = token.keeps_loss;
    per_entropy = keeps_loss ? totals.per_entropy : 0;
  }
};

struct PolicyOfToken {
  using Call = PolicyCall;
  using Ahead = PolicyAhead;
  static constexpr bool kHasShare = false;
  static constexpr bool kKeepsLse = false;
  static constexpr bool kJoinsAnew = false;

  __device__ __forceinline__ static bool derives_early(const Call&) { return false; }
  __device__ __forceinline__ static RowDerivatives derivatives(const Call& call, const Ahead& ahead,
                                                               const ScoredRow& scored) {
    const double g =
        scored.status == RowStatus::ok ? product(ahead.u, derivative(call.plan, ahead, scored)) : 0;
    return {g, ahead.per_entropy};
  }

 private:
  // dl/dlogp of a token whose ratio is its own. Its exponentials are made by two threads side by
  // side.
  __device__ __forceinline__ static double derivative(const PolicyLossPlan& plan,
                                                      const Ahead& given, const ScoredRow& scored) {
    const PolicyOptions& options = plan.options;
    PolicyToken token;
    token.logp = static_cast<double>(scored.logp);
    token.old = plan.old_logps ? static_cast<double>(given.old) : token.logp;
    token.has_ref = static_cast<bool>(plan.ref_logps);
    token.ref = static_cast<double>(given.ref);
    token.advantage = static_cast<double>(given.advantage);
    token.weight = static_cast<double>(given.weight);
    token.keeps_loss = given.keeps_loss;
    const bool of_kl = warp_lane() == 1;
    const double exponential = exp_or_rest(
        of_kl ? kl_distance(options, token) : PolicyLogRatio(options, token).value, of_kl);
    PolicyExponentials exponentials;
    exponentials.ratio = __shfl_sync(~0u, exponential, 0);
    exponentials.k3 = __shfl_sync(~0u, exponential, 1);
    const PolicyTerms terms = terms_of(options, token, PolicySequence(), exponentials);
    return terms.direct + product(terms.share, terms.slope);
  }
};

}  // namespace logsum::cuda
