// SPDX-License-Identifier: Apache-2.0
// token_logprobs: the log-probabilities of given tokens, and what else one read of the logits
// tells.
//
//   log p(y) = z_y/T − log Σ_i e^(z_i/T)
//
// Source: log-sum-exp with the maximum subtracted; bits as docs/design/tile_tree.md defines.
// Shapes: logits [..., V]; targets [...] or [..., K]; each output as written at its field.
// Error: log-probs, lse and entropy within 5e-7 + 2^-22·|x| of the float64 truth.
// Special values: a −∞ logit has log-prob −∞; rows all −∞, with NaN or with +∞: row_status.hpp. A
//   row's trouble stays in the row.
// Ties: argmax and top-N take the lowest index; rank counts columns strictly greater.
// Determinism: a row's bits depend on the row and its parameters alone: not on batch size, slot,
//   strides, alignment, threads, SIMD target, dtype of storage, or which outputs are asked for.
// Workspace: token_logprobs_workspace_size(args) bytes, from shapes only.
// Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct TokenLogprobsArgs {
  Tensor logits = {};    // [..., V]  f32 | f16 | bf16; unit stride along V
  Tensor targets = {};   // [...] or [..., K]  i32 | i64; optional
  Tensor logprobs = {};  // out, as targets, f32; given exactly when targets is

  Tensor lse = {};      // out, optional [...] f32: log Σ e^(z/T)
  Tensor entropy = {};  // out, optional [...] f32, in nats
  Tensor argmax = {};   // out, optional [...] i32 | i64; −1 where there is none
  // out, optional, as targets, i32 | i64: 1 + columns strictly greater; 0 where none
  Tensor rank = {};
  Tensor top_ids = {};  // out, optional [..., N] i32 | i64, N ≤ V: the N most likely, best first
  Tensor top_logprobs = {};  // out, optional [..., N] f32
  Tensor row_status = {};    // out, optional [...] i32 (RowStatus)

  PerRow<float> temperature = 1.0f;  // in [2^-64, 2^64]; a tensor is [...] f32
  std::int64_t ignore_index = -100;  // such a target gives log-prob 0 and rank 0
  std::int64_t vocab_size = 0;       // columns from here on are padding and never read; 0: all of V
};

LOGSUM_API Status token_logprobs(const TokenLogprobsArgs& args,
                                 const Context& context = {}) noexcept;

LOGSUM_API std::size_t token_logprobs_workspace_size(const TokenLogprobsArgs& args) noexcept;

}  // namespace logsum
