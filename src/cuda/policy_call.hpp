// SPDX-License-Identifier: Apache-2.0
// The steps of policy_loss.
//
//   list_rows    some CTAs: which rows count, in their order, and what the batch has in common
//   then, where no token's gradient asks for its sequence and rows suit rings,
//     rings      rows are scored and written in one visit
//   or
//     score      a visit that keeps a ScoredRow of each
//   sequences    a CTA per sequence: tokens' results, sums; derivatives, where a second visit asks
//   gradients    that visit, where rings haven't written them
//   padding      columns beyond vocab_size, where there are any
#pragma once

#include "cuda/loss_call.hpp"
#include "ops/policy_loss.hpp"

namespace logsum::cuda {

using PolicyCall = LossCallOf<PolicyLossPlan, PolicyRows>;

// Launches if rings suit the call and the context wants them: `launched`.
template <DType kDType>
Status policy_rings_of(const PolicyCall& call, const Context& context, bool& launched);
// `counters`: one that is 0 before and after. `derives`: for a second visit.
Status finish_sequences(const PolicyCall& call, unsigned* counter, bool derives,
                        const Context& context);

}  // namespace logsum::cuda
