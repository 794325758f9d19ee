// SPDX-License-Identifier: Apache-2.0
// logsumexp, logsumexp_backward: the normaliser of a row along any dimension, and its gradient.
//
//   lse = log Σ_i e^(z_i/T)        dz_j = g·e^(z_j/T − lse) / T
//
// Source: log-sum-exp with the maximum subtracted; bits as docs/design/tile_tree.md defines.
// Shapes: logits and grad_logits [..., V, ...] with V at `dim`; lse and grad_output [...], the
//   other dimensions.
// Error: lse within 5e-7 + 2^-22·|lse| of the float64 truth, exactly the logit for a one-hot row at
//   T = 1. The gradient within 4e-6 relative of the truth for the lse that is given, down to the
//   smallest normal f32, then rounded once to grad_logits' dtype. (An lse in f32 is itself rounded:
//   2^-24·|lse| more.)
// Special values: rows all −∞ have lse −∞ and gradient 0; rows with NaN or +∞, lse NaN and gradient
//   NaN; a −∞ logit has gradient 0: row_status.hpp. A grad_output that isn't finite, an lse of +∞
//   and a temperature out of range make their row NaN. Only rows with a finite lse are read.
// Determinism: as softmax; lse is bit for bit token_logprobs' lse.
// Workspace: logsumexp_workspace_size(args) and logsumexp_backward_workspace_size(args) bytes, from
//   shapes and strides only; backward: 0 where V is contiguous, and on a GPU.
// Aliasing: grad_logits may be logits (same pointer, dtype, shape and strides). Otherwise outputs
//   may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct LogsumexpArgs {
  Tensor logits = {};      // [..., V, ...] f32 | f16 | bf16; any strides
  Tensor lse = {};         // out [...] f32
  Tensor row_status = {};  // out, optional [...] i32 (RowStatus)

  PerRow<float> temperature = 1.0f;  // in [2^-64, 2^64]; a tensor is [...] f32
  std::int64_t dim = -1;             // where V is; negative counts from the end
};

struct LogsumexpBackwardArgs {
  Tensor grad_output = {};  // [...] f32
  Tensor lse = {};          // [...] f32: what the forward gave
  Tensor logits = {};       // [..., V, ...] f32 | f16 | bf16; any strides
  Tensor grad_logits = {};  // out, logits' shape; logits' dtype or f32; any strides

  PerRow<float> temperature = 1.0f;  // the forward's, in [2^-64, 2^64]; a tensor is [...] f32
  std::int64_t dim = -1;             // where V is; negative counts from the end
};

LOGSUM_API Status logsumexp(const LogsumexpArgs& args, const Context& context = {}) noexcept;
LOGSUM_API Status logsumexp_backward(const LogsumexpBackwardArgs& args,
                                     const Context& context = {}) noexcept;

LOGSUM_API std::size_t logsumexp_workspace_size(const LogsumexpArgs& args) noexcept;
LOGSUM_API std::size_t logsumexp_backward_workspace_size(
    const LogsumexpBackwardArgs& args) noexcept;

}  // namespace logsum
