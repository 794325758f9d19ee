// SPDX-License-Identifier: Apache-2.0
// The steps of preference_loss.
//
//   list_rows    some CTAs: which rows count, in their order, and what the batch has in common
//   score        a visit that keeps a ScoredRow of each
//   sequences    a CTA per sequence: Σ of its log-probs and its reference's
//   pairs        one CTA: losses, dloss/dlogp of the tokens of each sequence, all sums
//   tokens       a thread per row: results, what the second visit asks for
//   gradients    that visit
//   padding      columns beyond vocab_size, where there are any
#pragma once

#include "cuda/loss_call.hpp"
#include "ops/preference_loss.hpp"

namespace logsum::cuda {

using PreferenceCall = LossCallOf<PreferenceLossPlan, PreferenceRows>;

// From the scored rows to their derivatives.
Status finish_preferences(const PreferenceCall& call, const Context& context);
// Of sequences that have no tokens.
Status finish_without_tokens(const PreferenceLossPlan& plan, const Context& context);

}  // namespace logsum::cuda
