// SPDX-License-Identifier: Apache-2.0
// softmax_backward, log_softmax_backward: the gradient of the logits from the gradient of the
// output.
//
//   softmax:      dz_j = p_j·(g_j − Σ_i g_i·p_i) / T        p = output
//   log_softmax:  dz_j = (g_j − p_j·Σ_i g_i) / T            p = e^output
//
// Source: Jacobians p_j·(δ_ij − p_i)/T and (δ_ij − p_j)/T. Sums in f64 along a fixed tree
//   (docs/ops/softmax_backward.md). Where p > ½, g − p·G is taken as (g − G) + (1 − p)·G.
// Shapes: grad_output, output and grad_logits [..., V, ...] with V at `dim`; rows [...] are the
//   other dimensions.
// Error, of the float64 truth for the given tensors: 4e-6 of it (softmax) or of the larger of the
//   two terms subtracted (log_softmax), and what f64 sums lose, 2^-46·p·Σ|g·p|/T or 2^-46·Σ|g|/T;
//   then rounded once to grad_logits' dtype.
// Special values: where output says probability 0 (p = 0, log p = −∞) the gradient is 0 and
//   grad_output isn't looked at. A row is NaN throughout if its sum isn't finite in f32 (a NaN or
//   +∞ in output, a NaN or ±∞ in grad_output elsewhere, overflow) or its temperature is out of
//   range. With the forward's row_status a row that was empty gets 0 (its output is NaN), and rows
//   nan, pos_inf, bad_parameter get NaN whatever they hold.
// Determinism: as softmax.
// Workspace: softmax_backward_workspace_size(args) bytes, for both, from shapes and strides only.
// Aliasing: grad_logits may be grad_output (same pointer, dtype, shape and strides). Otherwise it
//   may not overlap an input.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct SoftmaxBackwardArgs {
  Tensor grad_output = {};  // [..., V, ...] f32 | f16 | bf16; any strides
  Tensor output = {};       // as grad_output, f32 | f16 | bf16: what the forward gave
  Tensor grad_logits = {};  // out, as grad_output, f32 | f16 | bf16
  Tensor row_status = {};   // optional [...] i32: what the forward gave

  PerRow<float> temperature = 1.0f;  // the forward's, in [2^-64, 2^64]; a tensor is [...] f32
  std::int64_t dim = -1;             // where V is; negative counts from the end
};

LOGSUM_API Status softmax_backward(const SoftmaxBackwardArgs& args,
                                   const Context& context = {}) noexcept;
LOGSUM_API Status log_softmax_backward(const SoftmaxBackwardArgs& args,
                                       const Context& context = {}) noexcept;

LOGSUM_API std::size_t softmax_backward_workspace_size(const SoftmaxBackwardArgs& args) noexcept;

}  // namespace logsum
