// SPDX-License-Identifier: Apache-2.0
// draw: the second half of sample for a sharded row (measure.hpp): each choice whose tile lies in
// this shard becomes a token with its log-prob. Every choice belongs to exactly one shard.
//
// Shapes: logits [..., W] (one shard); choices u8 [..., n, 32]; token, logprob, token_logit
//   [..., n].
// Special values: a choice that lies elsewhere, or nowhere, gives token −1, log-prob −∞ and
//   token_logit −∞: a maximum over the shards joins them (a row without a distribution stays −1).
// Determinism: token and log-prob are sample's on the whole row, bit for bit.
// Workspace: none. Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include "logsum/merge.hpp"

namespace logsum {

struct DrawArgs {
  Tensor logits = {};   // [..., W] f32 | f16 | bf16; unit stride along W
  Tensor choices = {};  // u8 [..., n, 32], from merge
  Tensor token = {};    // out [..., n] i32 | i64: columns of the whole row
  Tensor logprob = {};  // out, optional [..., n] f32
  // out, optional [..., n] f32: e.g. merge's target_logits for the raw log-prob
  Tensor token_logit = {};

  PerRow<float> temperature = 1.0f;  // as given to measure and merge
  std::int64_t vocab_start = 0;  // the whole row's column of this shard's first; a multiple of 4096
  std::int64_t vocab_size = 0;   // columns from here on are padding and never read; 0: all of W
};

LOGSUM_API Status draw(const DrawArgs& args, const Context& context = {}) noexcept;

}  // namespace logsum
