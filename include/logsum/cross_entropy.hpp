// SPDX-License-Identifier: Apache-2.0
// cross_entropy: of logits and class indices, and its gradient with respect to the logits, from one
// read of these (on a GPU with a softcap or label smoothing two).
//
//   z' = softcap·tanh(z/softcap)                   where softcap isn't 0, else z
//   l_i = (1 − ε)·w_y·(lse − z'_y) + (ε/V)·Σ_c w_c·(lse − z'_c) + lse_square_scale·lse²
//   loss = Σ_i u_i·l_i                              u by reduction: docs/ops/cross_entropy.md
//
// with y a row's target, w class_weights (1 where absent), ε label_smoothing, V the columns that
// aren't padding, lse = log Σ_c e^z'_c.
//
// Source: torch.nn.functional.cross_entropy; label smoothing 1512.00567; the z-loss of PaLM
//   (2204.02311), named as in flash-attn and Liger; softcap of Gemma 2 (2408.00118).
// Shapes: logits [..., V]; "tokens" are [...].
// Error: lse and log-prob as logsumexp and token_logprobs, to their bits (softcap: z' within 2^-22
//   of softcap, the rest as if it were given). Losses: each log-prob within 5e-7 + 2^-22 of its
//   size, times its weight; with label smoothing also 1e-15 of the sum of w·|z'|.
//   Gradient: 4e-6 of the sum of its terms' sizes, then rounded once; 1 − p_y keeps its relative
//   accuracy as p_y nears 1. (bf16 and f16 on a GPU under Determinism::per_device: as softmax.)
// Ignored tokens (ignore_index): their logits aren't read, their results and gradients are 0. Where
//   all are, loss is 0 (torch: NaN).
// Special values: a row that can't be scored (row_status.hpp) has a NaN loss; gradients NaN where
// it
//   is nan, pos_inf or bad_parameter, 0 where empty or with a bad target. loss is then NaN; other
//   rows' gradients are their own. A token whose log-prob or loss is beyond f32 (a target of −∞)
//   has row_status overflow. A grad_loss that isn't finite makes its row's gradient NaN, a class
//   weight that isn't, through mean, all of them. Weights of 0 make 0 of any loss. Through softcap
//   ±∞ become ±softcap, with gradient 0.
// Determinism: a row's gradient depends on its row and its parameters alone, and on what all tokens
//   have in common through `mean`. Sums in f64 along a tree that halves the batch: two equal halves
//   with a given normalizer add up to the whole's bits.
// Workspace: cross_entropy_workspace_size(args) bytes, from shapes and options only.
// Aliasing: grad_logits may be logits (same pointer, dtype, shape and strides). Otherwise outputs
//   may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

enum class Reduction : std::uint8_t {
  mean,  // over Σ w_y of tokens that count, lse_square_scale's part over their number; or over
         // normalizer
  sum,
  none,  // per_token_loss is all there is; gradients are of grad_loss's tokens, or of their sum
};

struct CrossEntropyArgs {
  Tensor logits = {};         // [..., V] f32 | f16 | bf16; unit stride along V
  Tensor targets = {};        // tokens, i32 | i64
  Tensor class_weights = {};  // optional, [V without padding], f32
  Tensor grad_loss = {};      // optional, tokens, f32: what each row's gradient is multiplied by

  // out, all optional
  Tensor loss = {};            // one element f32 | f64; not with Reduction::none
  Tensor z_loss = {};          // one element f32 | f64: what lse_square_scale adds to it
  Tensor per_token_loss = {};  // tokens, f32: l
  Tensor lse = {};             // tokens, f32
  Tensor row_status = {};      // tokens, i32 (RowStatus)
  Tensor grad_logits = {};     // as logits, of their dtype or f32

  Reduction reduction = Reduction::mean;
  float label_smoothing = 0.0f;   // in [0, 1]
  float lse_square_scale = 0.0f;  // at least 0
  float softcap = 0.0f;           // 0: none; else in [2^-64, 2^64]
  // mean: 0, or what is divided by instead of what was counted. A tensor has one element, f32 | f64
  // | i32 | i64; a 0 there counts as 1.
  PerRow<double> normalizer = 0.0;
  PerRow<double> grad_scale = 1.0;  // what gradients are multiplied by; a tensor: f32 | f64
  std::int64_t ignore_index = -100;
  std::int64_t vocab_size = 0;  // columns from here on are padding, with gradient 0; 0: all of V
};

LOGSUM_API Status cross_entropy(const CrossEntropyArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t cross_entropy_workspace_size(const CrossEntropyArgs& args) noexcept;

}  // namespace logsum
