// SPDX-License-Identifier: Apache-2.0
// sample: draws tokens from softmax(z/T) by inverting the cdf in vocabulary order, with their
// log-probs.
//
//   token = the lowest i with p_i > 0 and p_0 + … + p_i > u
//
// Source: inverse transform sampling on the integer masses of docs/design/tile_tree.md; u from the
//   caller or from Philox4x32-10 (docs/design/rng.md).
// Shapes: logits [R..., V]; with indices [...], output row k reads logits row indices[k]; without,
//   [...] is [R...]. draws = n > 1 adds a last dimension n to u, token, logprob and raw_logprob.
// Error: log-probs, lse and entropy within 5e-7 + 2^-22·|x| of the float64 truth; the token is the
//   exact one unless u lies within 2^-22 of a step of the cdf. A token whose probability is below
//   2^-38 of the largest may count as probability 0.
// Special values: −∞ is never drawn; rows all −∞, with NaN or with +∞ give token −1:
//   row_status.hpp.
// Ties: temperature 0 is argmax, the lowest index of the maximum; logprob and entropy are then 0
//   (the distribution has one token) and lse is the maximum logit.
// Determinism: as token_logprobs. logprob is bit for bit what token_logprobs gives for that token,
//   row and temperature. The row's index isn't in the random counter: the same (seed, offset) draws
//   the same token in any slot.
// Workspace: sample_workspace_size(args) bytes, from shapes only.
// Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/rng.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct SampleArgs {
  Tensor logits = {};  // [R..., V]  f32 | f16 | bf16; unit stride along V
  // optional [...] i32 | i64: which logits row (R... flattened) each output row reads
  Tensor indices = {};

  Tensor token = {};    // out [...] or [..., n]  i32 | i64; −1 where nothing can be drawn
  Tensor logprob = {};  // out, optional, as token, f32: of the distribution drawn from
  // out, optional, as token, f32: log_softmax of the untouched logits at T = 1
  Tensor raw_logprob = {};
  Tensor lse = {};         // out, optional [...] f32: log Σ e^(z/T)
  Tensor entropy = {};     // out, optional [...] f32, in nats, at T
  Tensor row_status = {};  // out, optional [...] i32 (RowStatus)

  PerRow<float> temperature = 1.0f;  // 0 (argmax) or in [2^-64, 2^64]; a tensor is [...] f32
  Tensor u = {};  // optional [...] or [..., n] f32 | f64 in [0, 1); replaces the seed
  PerRow<std::uint64_t> seed = 0;    // a tensor is [...] i64 (its bits)
  PerRow<std::uint64_t> offset = 0;  // a tensor is [...] i64 (its bits)
  std::int64_t draws = 1;            // n ≥ 1 draws per row, from one read of it
  std::int64_t vocab_size = 0;       // columns from here on are padding and never read; 0: all of V
};

LOGSUM_API Status sample(const SampleArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t sample_workspace_size(const SampleArgs& args) noexcept;

}  // namespace logsum
