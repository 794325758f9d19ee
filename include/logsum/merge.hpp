// SPDX-License-Identifier: Apache-2.0
// merge: joins the records of a row's column shards (measure.hpp) into what token_logprobs and
// sample would have said of the whole row, bit for bit.
//
// Shapes: each of shards u8 [..., tiles_i, 24] in column order, Σ tiles_i = ⌈vocab_size/4096⌉;
//   outputs [...]; choices u8 [..., n, 32] (n = draws).
// Special values: row_status.hpp; whether a poisoned row holds a NaN or only +∞ is told by its
//   maximum, so a row with both may be `pos_inf` here and `nan` in token_logprobs.
// Determinism: exact integer sums: the bits don't depend on how the row was cut.
// Workspace: none. Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include <span>

#include "logsum/measure.hpp"

namespace logsum {

// Where a draw falls, and the norm of its row's distribution: merge → draw. Opaque bytes to the
// caller.
struct DrawChoice {
  std::int64_t tile = -1;    // of the whole row; −1: nothing can be drawn
  double share = 0;          // how far into the tile's mass, in [0, 1); −1: take `column`
  std::int32_t column = -1;  // within the tile
  float half_max = 0;        // log p(z) = fma(fma(z, ½, −half_max), two_over_t, −log_ratio)
  float two_over_t = 0;
  float log_ratio = 0;
};
static_assert(sizeof(DrawChoice) == 32);

struct MergeArgs {
  std::span<const Tensor> shards = {};
  std::int64_t vocab_size = 0;  // columns of the whole row

  // Scoring: what the shards' measure gave for the targets; the largest is the target's logit.
  Tensor targets = {};                         // optional [...] i32 | i64
  std::span<const Tensor> target_logits = {};  // each [...] f32; goes with targets and logprobs
  Tensor logprobs = {};                        // out [...] f32
  std::int64_t ignore_index = -100;

  Tensor lse = {};      // out, optional [...] f32
  Tensor entropy = {};  // out, optional [...] f32; needs records with moments
  // out, optional [...] f32: the largest logit; NaN where the row has no distribution
  Tensor max = {};
  Tensor argmax = {};      // out, optional [...] i32 | i64
  Tensor row_status = {};  // out, optional [...] i32 (RowStatus)

  // Sampling: as sample's arguments of the same names.
  Tensor choices = {};  // out, optional u8 [..., n, 32]
  Tensor u = {};        // optional [..., n] f32 | f64 in [0, 1)
  PerRow<std::uint64_t> seed = 0;
  PerRow<std::uint64_t> offset = 0;
  std::int64_t draws = 1;

  // As given to measure; 0: choices take the argmax.
  PerRow<float> temperature = 1.0f;
};

LOGSUM_API Status merge(const MergeArgs& args, const Context& context = {}) noexcept;

}  // namespace logsum
