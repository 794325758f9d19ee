// SPDX-License-Identifier: Apache-2.0
// The steps of cross_entropy.
//
//   list         some CTAs: which rows count, in their order, and what the batch has in common
//   then, where there is neither softcap nor label smoothing,
//     rings      rows are scored and written in one visit, where they suit rings; or
//     score      a visit that keeps a ScoredRow of each
//   or
//     columns    tiles are measured column by column, and rows scored from them
//   finish       tokens' results and sums, derivatives where a second visit asks
//   gradients    that visit, where rings haven't written them
//   padding      columns beyond vocab_size, where there are any
#pragma once

#include "cuda/loss_call.hpp"
#include "ops/cross_entropy.hpp"

namespace logsum::cuda {

using CrossEntropyCall = LossCallOf<CrossEntropyPlan, CrossEntropyRows>;

// Launches if rings suit the call and the context wants them: `launched`.
Status cross_entropy_rings(const CrossEntropyCall& call, const Context& context, bool& launched);
Status score_columns(const CrossEntropyCall& call, const Context& context);
Status write_column_gradients(const CrossEntropyCall& call, const Context& context);

}  // namespace logsum::cuda
