// SPDX-License-Identifier: Apache-2.0
// policy_loss: the GRPO family of policy-gradient losses of sampled tokens, and their gradient with
// respect to the logits, from one read of these (two where a sequence's log-probs must be known
// before any of its gradients).
//
//   loss = Σ_t u_t·(w_t·l_t + beta·KL_t) − entropy_coef·Σ_t v_t·H_t
//   dz_tj = grad_scale·(g_t·(δ_jy − p_j) + c_t·p_j·(log p_j + H)) / T
//
// with l the objective's loss of a token, u the aggregation's weight of it, w importance weight and
// masks, g = dloss/dlogp, c = entropy_coef·v: docs/ops/policy_loss.md has them for every option.
//
// Source: TRL's GRPOTrainer and its papers (DeepSeekMath 2402.03300, DAPO 2503.14476, Dr. GRPO
//   2503.20783, GSPO 2507.18071, CISPO 2506.13585, SAPO 2511.20347, GMPO 2507.20673, LUSPO
//   2602.05261, VESPO 2602.10693, dual clip 1912.09729, INTELLECT-2 2505.07291, DeepSeek-V3.2
//   2512.02556, KL estimators: joschu.net/blog/kl-approx.html).
// Shapes: logits [..., T, V]: sequences of T tokens, or packed [N, V] with cu_seqlens; "tokens" are
//   [..., T] or [N], "sequences" [...] or the B of cu_seqlens.
// Error: per_token_logps and entropy as token_logprobs, to its bits. Loss and per-token values:
//   1e-6 of the float64 formula at those log-probs. Gradient: 4e-6 of the sum of its terms' sizes
//   at that g and c, then rounded once; 1 − p_y keeps its relative accuracy as p_y nears 1.
//   (bf16 and f16 on a GPU under Determinism::per_device: as softmax.)
// Masked tokens: completion_mask 0, or target = ignore_index. Their logits aren't read, their
//   results and gradients are 0. A sequence without tokens adds 0.
// Special values: a row that can't be scored (row_status.hpp) has NaN results, though with a bad
//   target its entropy; gradients NaN where it is nan, pos_inf or bad_parameter, 0 where empty or
//   with a bad target. loss is then NaN; other rows' gradients are their own, but within the
//   sequence where the objective couples it.
//   A token whose loss or g is beyond f32 has row_status overflow; a gradient is ±∞ where it is
//   beyond its dtype, NaN where g is beyond f64. Two equal log-probs, both −∞ too, have ratio 1.
// Determinism: a row's gradient depends on its row, its parameters and, where coupled, its
//   sequence: not on batch, slot, packing, schedule, threads, or in place. Sums in f64 along a tree
//   that halves the batch: two equal halves with a given normalizer add up to the whole's bits.
// Workspace: policy_loss_workspace_size(args) bytes, from shapes and options only.
// Aliasing: grad_logits may be logits (same pointer, dtype, shape and strides). Otherwise outputs
//   may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/policy_options.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

// Entries of PolicyLossArgs::metrics. Means are over tokens that count and could be scored.
enum class PolicyMetric : std::uint8_t {
  token_count,  // that count
  bad_count,    // of them: not scored, or beyond f32
  clip_low,     // share of tokens whose gradient the lower bound cut (A < 0),
  clip_high,    // the upper one (A > 0),
  clip_region,  // or either
  kl,           // mean, of the estimator; 0 without ref_per_token_logps
  entropy,      // mean
  ratio_min,
  ratio_mean,
  ratio_max,
  effective_sample_size,  // (Σ r)² / Σ r²
  count
};
inline constexpr int kPolicyMetrics = static_cast<int>(PolicyMetric::count);

struct PolicyLossArgs {
  Tensor logits = {};           // [..., T, V] or [N, V] f32 | f16 | bf16; unit stride along V
  Tensor targets = {};          // tokens, i32 | i64
  Tensor advantages = {};       // sequences or tokens (where B = N: tokens), f32
  Tensor completion_mask = {};  // optional, tokens, bool | u8; 0: masked
  Tensor cu_seqlens = {};       // optional [B + 1] i32 | i64: 0, …, N; logits are packed then

  Tensor old_per_token_logps = {};  // optional, tokens, f32; absent: ratio 1, with its gradient
  Tensor ref_per_token_logps = {};  // tokens, f32; given if beta isn't 0
  // Of the rollout, for off_policy_threshold; absent: old.
  Tensor sampling_per_token_logps = {};
  Tensor importance_weights = {};  // optional, sequences or tokens, f32: of l, not of KL
  Tensor entropy_mask = {};        // optional, tokens, bool | u8: 0 leaves KL alone of the token

  // out, all optional
  Tensor loss = {};             // one element f32 | f64
  Tensor per_token_loss = {};   // tokens, f32: w·l + beta·KL
  Tensor per_token_logps = {};  // tokens, f32
  Tensor per_token_kl = {};     // tokens, f32; 0 without ref_per_token_logps
  Tensor entropy = {};          // tokens, f32
  Tensor metrics = {};          // [kPolicyMetrics] f64
  Tensor row_status = {};       // tokens, i32 (RowStatus)
  Tensor grad_logits = {};      // as logits, of their dtype or f32

  PolicyOptions options = {};
  PerRow<float> temperature = 1.0f;  // in [2^-64, 2^64]; a tensor is of tokens, f32
  // N of the aggregation and of the entropy's mean; 0: counted here (entropy: tokens that count and
  // entropy_mask keeps, or with token_mean the normalizer). A tensor has one element, f32 | f64 |
  // i32 | i64; a 0 there counts as 1.
  PerRow<double> normalizer = 0.0;
  PerRow<double> entropy_normalizer = 0.0;
  PerRow<double> grad_scale = 1.0;  // what gradients are multiplied by; a tensor: f32 | f64
  std::int64_t ignore_index = -100;
  std::int64_t vocab_size = 0;  // columns from here on are padding, with gradient 0; 0: all of V
};

LOGSUM_API Status policy_loss(const PolicyLossArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t policy_loss_workspace_size(const PolicyLossArgs& args) noexcept;

}  // namespace logsum
