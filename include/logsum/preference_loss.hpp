// SPDX-License-Identifier: Apache-2.0
// preference_loss: losses of preferences between sequences (DPO, hinge, IPO, SimPO, ORPO, KTO) from
// their tokens' log-probs, and the gradient with respect to the logits, from two reads of these.
//
//   loss = Σ_pairs l / N + nll_coef·(−Σ logp of chosen tokens) / N_nll
//   dz_tj = grad_scale·g_b·(δ_jy − p_j) / T,  g_b = dloss/dS_b of the token's sequence b
//
// The first half of the sequences are the chosen ones, sequence P + i the rejected one of pair i;
// kto has no pairs but sequences with a flag each.
//
// Source: TRL's DPOTrainer, CPOTrainer, ORPOTrainer, KTOTrainer, Liger's chunked_loss, and the
//   papers: DPO 2305.18290, cDPO ericmitchell.ai/cdpo.pdf, SLiC 2305.10425, IPO 2310.12036, SimPO
//   2405.14734, ORPO 2403.07691, KTO 2402.01306.
// Shapes: logits [..., T, V]: sequences of T tokens, or packed [N, V] with cu_seqlens; "tokens" are
//   [..., T] or [N], "sequences" [...] or the B of cu_seqlens, "pairs" [P], of which there are half
//   as many (kto: sequences).
// Error: per_token_logps as token_logprobs, to its bits; S is their sum in f64. Losses: 1e-6 of the
//   float64 formula at those log-probs. Gradient: 4e-6 of the sum of its terms' sizes at that g,
//   then rounded once; 1 − p_y keeps its relative accuracy as p_y nears 1.
//   (bf16 and f16 on a GPU under Determinism::per_device: as softmax.)
// Masked tokens: completion_mask 0, or target = ignore_index. Their logits aren't read, their
//   results and gradients are 0. A sequence without tokens has S = 0 and no gradient; its pair
//   counts.
// Special values: a row that can't be scored (row_status.hpp) makes its sequence's and its pair's
//   results NaN, and loss; its gradient is NaN where it is nan, pos_inf or bad_parameter, 0 where
//   empty or with a bad target. Other rows of the pair have gradient NaN, other pairs their own.
//   A pair whose loss, or a token whose g, is beyond f32 gives its tokens row_status overflow; a
//   gradient is ±∞ where it is beyond its dtype, NaN where g is beyond f64. Two equal sums, both −∞
//   too, differ by 0.
// Determinism: a row's gradient depends on its row, its parameters and its pair: not on batch,
//   slot, packing, schedule, threads, or in place. Sums in f64 along a tree that halves the pairs:
//   two equal halves with given normalizers add up to the whole's bits.
// Workspace: preference_loss_workspace_size(args) bytes, from shapes only.
// Aliasing: grad_logits may be logits (same pointer, dtype, shape and strides). Otherwise outputs
//   may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/preference_options.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

// Entries of PreferenceLossArgs::metrics. Means are over pairs (kto: sequences) whose loss is
// within f32; 0 of none.
enum class PreferenceMetric : std::uint8_t {
  pair_count,       // kto: sequences
  bad_count,        // of them: not scored, or beyond f32
  chosen_reward,    // mean; kto: of desirable ones
  rejected_reward,  // mean; kto: of undesirable ones
  reward_accuracy,  // share of pairs with chosen > rejected; kto: of sequences on kl's right side
  reward_margin,    // chosen_reward − rejected_reward; kto: 0 where either kind is missing
  nll,              // −mean of logp over chosen or desirable tokens
  count
};
inline constexpr int kPreferenceMetrics = static_cast<int>(PreferenceMetric::count);

struct PreferenceLossArgs {
  Tensor logits = {};           // [..., T, V] or [N, V] f32 | f16 | bf16; unit stride along V
  Tensor targets = {};          // tokens, i32 | i64
  Tensor completion_mask = {};  // optional, tokens, bool | u8; 0: masked
  Tensor cu_seqlens = {};       // optional [B + 1] i32 | i64: 0, …, N; logits are packed then

  // Where the loss has a reference and not reference_free, one of these.
  Tensor ref_logps = {};            // sequences, f32: sums over tokens that count
  Tensor ref_per_token_logps = {};  // tokens, f32

  Tensor desirable = {};  // kto: sequences, bool | u8
  // kto: estimate of the policy's divergence from the reference; below 0 it is 0. A tensor has one
  // element, f32 | f64.
  PerRow<double> kl = 0.0;

  // out, all optional
  Tensor loss = {};             // one element f32 | f64
  Tensor per_pair_loss = {};    // pairs, f32: l
  Tensor sequence_logps = {};   // sequences, f32: S
  Tensor rewards = {};          // sequences, f32: beta·(S − ref); simpo, orpo: beta·s
  Tensor per_token_logps = {};  // tokens, f32
  Tensor metrics = {};          // [kPreferenceMetrics] f64
  Tensor row_status = {};       // tokens, i32 (RowStatus)
  Tensor grad_logits = {};      // as logits, of their dtype or f32

  PreferenceOptions options = {};
  PerRow<float> temperature = 1.0f;  // in [2^-64, 2^64]; a tensor is of tokens, f32
  // N and N_nll; 0: counted here, pairs and chosen or desirable tokens. A tensor has one element,
  // f32 | f64 | i32 | i64; a 0 there counts as 1.
  PerRow<double> normalizer = 0.0;
  PerRow<double> nll_normalizer = 0.0;
  PerRow<double> grad_scale = 1.0;  // what gradients are multiplied by; a tensor: f32 | f64
  std::int64_t ignore_index = -100;
  std::int64_t vocab_size = 0;  // columns from here on are padding, with gradient 0; 0: all of V
};

LOGSUM_API Status preference_loss(const PreferenceLossArgs& args,
                                  const Context& context = {}) noexcept;

LOGSUM_API std::size_t preference_loss_workspace_size(const PreferenceLossArgs& args) noexcept;

}  // namespace logsum
