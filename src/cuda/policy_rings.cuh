// SPDX-License-Identifier: Apache-2.0
// Launches of policy_loss in rings, for logits of one dtype. A file of its own compiles each.
#pragma once

#include "cuda/device/policy_ring.cuh"
#include "cuda/launch_loss_ring.cuh"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {

template <DType kDType, class Exp, bool kEntropy>
Status launch_policy_ring(const PolicyCall& call, const Context& context, bool& launched) {
  return launch_loss_ring<LossRing<PolicyOfToken, kDType, Exp, kEntropy>>(call, context, launched);
}

template <DType kDType>
Status policy_rings_of(const PolicyCall& call, const Context& context, bool& launched) {
  return with_exponential(context, [&]<class Exp>() {
    return call.plan.has_entropy ? launch_policy_ring<kDType, Exp, true>(call, context, launched)
                                 : launch_policy_ring<kDType, Exp, false>(call, context, launched);
  });
}

}  // namespace logsum::cuda
