// SPDX-License-Identifier: Apache-2.0
// importance_weights: what corrects a loss for rollouts that were sampled by another engine than
// the trainer's, from the log-probs of the sampled tokens under both.
//
//   w = e^(old − sampling)              per token, or
//   w = e^(Σ_t old_t − sampling_t)      per sequence, the same for all of its tokens
//
//   truncate: w within [clip_min, clip_max];  mask: w, but 0 outside of it;  none: w
//
// Source: truncated importance sampling (Yao et al., fengyao.notion.site/off-policy-rl), IcePop's
//   band (arXiv 2510.18855), as TRL's vllm_importance_sampling_mode names them; the defaults are
//   TRL's sequence_mask with clip_max 3.
// Shapes: tokens are [..., T], a sequence to a row; or packed [N], with cu_seqlens.
// Error: 1e-7 + 2^-52·Σ|old − sampling| relative, of the token or the sequence; below the smallest
//   normal f32 within 2^-149. Statistics 1e-6 relative, of the weights as they are written.
// Special values: equal log-probs, also infinite ones, are exactly e^0: 1. Where only old is −∞ the
//   weight is 0, where only sampling is +∞; both clipped as any other. Weights beyond f32 are +∞:
//   mean_weight is then +∞, effective_sample_size NaN. A NaN makes its token NaN, or its sequence,
//   clipped or not, and the statistics; so does a sequence with factors of 0 and +∞.
// Mask: where completion_mask is 0 the token isn't looked at, doesn't count, and has weight 1. No
//   tokens: statistics 0.
// cu_seqlens: sequence b is [cu_seqlens[b], cu_seqlens[b + 1]), the first from 0 on; tokens behind
//   the last are as masked. Must not fall: a token of two sequences has the weight of either.
//   Values beyond [0, N] count as 0 and N.
// Determinism: a weight's bits depend on its token, or on its sequence's tokens and mask; not on
//   the batch, the sequence's place in it, padding behind it, strides, threads or the device. Sums
//   in f64 in the order of src/core/lane_sums.hpp, of a sequence and then over sequences.
// Workspace: importance_weights_workspace_size(args) bytes, from shapes only; 0 without statistics.
// Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

enum class ImportanceLevel : std::uint8_t { token, sequence };
enum class ImportanceMode : std::uint8_t { truncate, mask, none };

struct ImportanceWeightsArgs {
  Tensor old_per_token_logps = {};       // [..., T] or [N] f32: the trainer's; any strides
  Tensor sampling_per_token_logps = {};  // the same shape, f32: the rollout's
  Tensor completion_mask = {};           // optional, the same shape, bool | u8; 0: left out
  Tensor cu_seqlens = {};                // optional [B + 1] i32 | i64: tokens are packed

  Tensor weights = {};  // out, the same shape, f32

  // Out, optional, one element each, over the tokens that count.
  Tensor count = {};                  // i64
  Tensor effective_sample_size = {};  // f32: (Σw)² / Σw²
  Tensor mean_weight = {};            // f32
  Tensor clipped_fraction = {};       // f32: whose w was outside [clip_min, clip_max]

  ImportanceLevel level = ImportanceLevel::sequence;
  ImportanceMode mode = ImportanceMode::mask;
  float clip_min = 0.0f;  // in [0, clip_max]; 0: none
  float clip_max = 3.0f;  // up to +∞: none
};

LOGSUM_API Status importance_weights(const ImportanceWeightsArgs& args,
                                     const Context& context = {}) noexcept;

LOGSUM_API std::size_t importance_weights_workspace_size(
    const ImportanceWeightsArgs& args) noexcept;

}  // namespace logsum
