// SPDX-License-Identifier: Apache-2.0
// distill_loss: a divergence between the distributions of a teacher's and a student's logits, and
// its gradient with respect to either.
//
//   p = softmax(teacher / T_t),  q = softmax(student / T_s),  a and b are log-ratios below
//   forward_kl  d = Σ p·a                   a = log p − log q
//   reverse_kl  d = Σ q·b                   b = log q − log p
//   jsd         d = beta·Σ p·a + (1 − beta)·Σ q·b
//               a = log p − log m,  b = log q − log m,  m = beta·p + (1 − beta)·q
//   loss = Σ_rows d / N
//
//              d student / d s_j, times T_s           d teacher / d t_j, times T_t
//   forward_kl q_j − p_j                              p_j·(a_j − Σ p·a)
//   reverse_kl q_j·(b_j − Σ q·b)                      p_j − q_j
//   jsd        (1 − beta)·q_j·(b_j − Σ q·b)           beta·p_j·(a_j − Σ p·a)
//
// Source: Hinton et al. 1503.02531 (without its factor T²: give that as grad_scale or weight),
//   generalized JSD of GKD (2306.13649), as TRL's GKDTrainer and Liger's JSD compute it; for beta 0
//   and 1 these mean forward and reverse KL, which have names of their own here.
// Shapes: logits [..., V], their dtypes, strides and temperatures are each their own; "rows" are
//   [...].
// Error, before results are rounded to f32: d 4e-6·d + 4e-7·√d + 1e-13: of nearly equal rows half
//   of its digits at the very least (their errors are independent: mostly more). Equal logits at
//   equal temperatures give exactly 0. Gradients, times T and N over grad_scale: 4e-6 of the sum of
//   their terms' sizes and 4e-7 of p_j (teacher's) or q_j (student's), where a probability times
//   grad_scale/N below 2^-126 is within 2^-149; then rounded once. (Two of bf16 or f16 on a GPU
//   under Determinism::per_device: d 2e-5·d + 3e-6·√d + 1e-12; gradients 2e-5 and, of a
//   probability p, 4e-6 + 2e-7·|log p|; such a one as above within 2^-126: it may count as 0.)
// Masked rows: completion_mask 0. Their logits aren't read, results and gradients are 0.
// Special values: a −∞ has probability 0 and adds 0. Where a KL's second distribution has 0 and its
//   first hasn't, d is +∞: row_status overflow, as where d or a column's log-ratio is beyond f32.
//   The gradient that subtracts a mean of log-ratios is then NaN, the other is as ever. A NaN, +∞
//   or nothing but −∞ in either row, or a temperature out of range: as row_status.hpp says, worst
//   first (bad parameter, NaN, +∞, empty); d NaN, both gradients NaN, of empty rows 0. Other rows
//   are their own, though loss is then NaN or +∞. grad_scale/N beyond f32: gradients NaN.
// Determinism: a row's results depend on its logits and parameters: not on batch, slot, schedule,
//   threads, in place, or what else is asked for. Rows are added in f64 along a tree that halves
//   the batch: two equal halves with a given normalizer add up to the whole's bits.
// Workspace: distill_loss_workspace_size(args) bytes, from shapes only.
// Aliasing: grad_student may be student_logits, grad_teacher teacher_logits (same pointer, dtype,
//   shape and strides). Otherwise outputs may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

enum class Divergence : std::uint8_t { forward_kl, reverse_kl, jsd };

struct DistillLossArgs {
  Tensor student_logits = {};   // [..., V] f32 | f16 | bf16; unit stride along V
  Tensor teacher_logits = {};   // likewise, the same shape
  Tensor completion_mask = {};  // optional, rows, bool | u8; 0: masked

  // out, all optional
  Tensor loss = {};            // one element f32 | f64
  Tensor per_token_loss = {};  // rows, f32: d
  Tensor row_status = {};      // rows, i32 (RowStatus)
  Tensor grad_student = {};    // as student_logits, of their dtype or f32
  Tensor grad_teacher = {};    // as teacher_logits, of their dtype or f32

  Divergence divergence = Divergence::jsd;
  float beta = 0.5f;  // jsd: the teacher's weight, in [2^-126, 1); otherwise not looked at
  PerRow<float> student_temperature = 1.0f;  // in [2^-64, 2^64]; a tensor is of rows, f32
  PerRow<float> teacher_temperature = 1.0f;
  // N; 0: rows that count here. A tensor has one element, f32 | f64 | i32 | i64; a 0 there counts
  // as 1.
  PerRow<double> normalizer = 0.0;
  PerRow<double> grad_scale = 1.0;  // what gradients are multiplied by; a tensor: f32 | f64
  std::int64_t vocab_size = 0;  // columns from here on are padding, with gradient 0; 0: all of V
};

LOGSUM_API Status distill_loss(const DistillLossArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t distill_loss_workspace_size(const DistillLossArgs& args) noexcept;

}  // namespace logsum
