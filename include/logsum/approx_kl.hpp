// SPDX-License-Identifier: Apache-2.0
// approx_kl: estimates of KL(policy ‖ reference) per token from the log-probs of the sampled
// tokens, and their means.
//
//   with d = ref − logp:   k1 = −d        k2 = d²/2        k3 = e^d − d − 1
//
// Source: Schulman, "Approximating KL Divergence" (joschu.net/blog/kl-approx.html); k3 is TRL's
//   per_token_kl. k3 is formed as a series in d, not as a difference: relative accuracy for every
//   d, never negative.
// Shapes: all tensors of tokens have the shape of per_token_logps; means and counts have one
//   element.
// Error: 1e-6 relative of the float64 truth, means as well (of the mean of |k1| for k1); below the
//   smallest normal f32 within 2^-149.
// Special values: finite inputs never give NaN. k3 is +∞ once it is above the largest f32 (d >
//   88.7), k2 from |d| > 2.6e19, k1 where the difference overflows; overflow_count is the number of
//   tokens with k3 = +∞ from finite inputs. The means are of the f64 values, and finite as long as
//   those are. d = ±∞ gives the limits (k1 ∓∞, k2 and k3 +∞); NaN, or two equal infinities, give
//   NaN.
// Mask: where completion_mask is 0 the token isn't looked at, its results are 0, and it doesn't
//   count. No tokens: means 0.
// Determinism: a token's bits depend on its two log-probs; a mean's on the tokens in row-major
//   order and their mask: sums in f64 over runs of 4096 tokens, these added in order. Not on
//   strides or threads.
// Workspace: approx_kl_workspace_size(args) bytes, from shapes only.
// Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct ApproxKlArgs {
  Tensor per_token_logps = {};      // [...] f32; any strides
  Tensor ref_per_token_logps = {};  // [...] f32
  Tensor completion_mask = {};      // optional [...] bool | u8; 0: left out

  Tensor k1 = {}, k2 = {}, k3 = {};                 // out, optional [...] f32
  Tensor mean_k1 = {}, mean_k2 = {}, mean_k3 = {};  // out, optional, one element f32
  Tensor count = {};           // out, optional, one element i64: tokens that count
  Tensor overflow_count = {};  // out, optional, one element i64
};

LOGSUM_API Status approx_kl(const ApproxKlArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t approx_kl_workspace_size(const ApproxKlArgs& args) noexcept;

}  // namespace logsum
