// SPDX-License-Identifier: Apache-2.0
// softmax, log_softmax: a row of logits becomes its probabilities or log-probabilities, along any
// dimension.
//
//   p_j = e^(z_j/T) / Σ_i e^(z_i/T)        log p_j = z_j/T − log Σ_i e^(z_i/T)
//
// Source: log-sum-exp with the maximum subtracted; bits as docs/design/tile_tree.md defines.
// Shapes: logits and output [..., V, ...] with V at `dim`; rows [...] are the other dimensions.
// Error: p within 4e-6 relative of the float64 truth (below 2^-126 with f32's gradual underflow:
//   2^-150 more), log p within 5e-7 + 2^-22·|log p|; then rounded once to the output's dtype,
//   nearest even. On a GPU under per_device, to bf16, p below 2^-24 within 1.4e-5: a
//   three-hundredth of what that rounding does. A one-hot row gives exactly 1 (0), no p is above
//   1, no log p above 0.
// Special values: a −∞ logit has p exactly 0 (log p −∞); rows all −∞, with NaN or with +∞, and rows
//   whose temperature is out of range, are NaN throughout: row_status.hpp. A row's trouble stays in
//   the row.
// Determinism: a row's bits depend on the row and its temperature alone: not on batch size, slot,
//   dim, strides, alignment, threads, SIMD target, dtype of storage, or whether in place. log p is
//   bit for bit what token_logprobs gives for that column.
// Workspace: softmax_workspace_size(args) bytes, for both, from shapes and strides only.
// Aliasing: output may be logits (same pointer, dtype, shape and strides). Otherwise outputs may
//   not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct SoftmaxArgs {
  Tensor logits = {};      // [..., V, ...] f32 | f16 | bf16; any strides
  Tensor output = {};      // out, logits' shape; logits' dtype or f32; any strides
  Tensor row_status = {};  // out, optional [...] i32 (RowStatus)

  PerRow<float> temperature = 1.0f;  // in [2^-64, 2^64]; a tensor is [...] f32
  std::int64_t dim = -1;             // where V is; negative counts from the end
};

LOGSUM_API Status softmax(const SoftmaxArgs& args, const Context& context = {}) noexcept;
LOGSUM_API Status log_softmax(const SoftmaxArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t softmax_workspace_size(const SoftmaxArgs& args) noexcept;

}  // namespace logsum
