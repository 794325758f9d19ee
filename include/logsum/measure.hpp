// SPDX-License-Identifier: Apache-2.0
// measure, merge, draw: a row that is cut into column shards (vocab-parallel ranks, streamed
// pieces), scored and sampled to the same bits as the whole row.
//
//   measure(shard)               24 bytes per 4096 columns, on each rank
//   merge(all shards' records)   lse, log-probs, entropy, argmax, and which tile each draw is in
//   draw(shard)                  the tokens whose tile lies in this shard
//
// A shard is a run of whole tiles: it begins at a multiple of kTileColumns, and all but the last
// have a multiple of it as their width. Source: docs/design/tile_tree.md. All three keep
// token_logprobs' contract on special values, determinism and aliasing.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

inline constexpr std::int64_t kTileColumns = 4096;

// What is known of one tile, relative to its reference exponent n. A tensor of records is u8 [...,
// tiles, 24].
struct TileRecord {
  double n = 0;  // an integer; a double because |z|/T may be huge
  // Σ 2^(t−n), t = z·log2(e)/T; 0: the tile is empty; NaN: it holds a NaN or +∞
  float sum = 0;
  float moment = 0;  // Σ 2^(t−n)·(n − t); 0 where not asked for
  float max = -__builtin_inff();
  std::int32_t argmax = -1;  // the first column of max within the tile, where it has been looked up
};
static_assert(sizeof(TileRecord) == 24);

// Measures a shard of each row.
// Shapes: logits [..., W]; records u8 [..., tiles, 24] with tiles = ⌈vocab_size/4096⌉.
// Errors: invalid_argument, naming the argument. NaN and +∞ make their tile's sum NaN.
// Workspace: measure_workspace_size(args) bytes, from shapes only; on the CPU 0.
struct MeasureArgs {
  Tensor logits = {};   // [..., W] f32 | f16 | bf16; unit stride along W
  Tensor records = {};  // out u8 [..., tiles, 24], contiguous in the last two dimensions
  Tensor targets = {};  // optional [...] i32 | i64: columns of the whole row
  // out with targets [...] f32: the target's logit if it is in this shard, else −∞
  Tensor target_logits = {};

  // In [2^-64, 2^64], or 0: measured at 1, for merge and draw to take the argmax; a tensor is
  // [...] f32.
  PerRow<float> temperature = 1.0f;
  std::int64_t vocab_start = 0;  // the whole row's column of this shard's first; a multiple of 4096
  std::int64_t vocab_size = 0;   // columns from here on are padding and never read; 0: all of W
  bool moment = true;            // false: no entropy from these records, and less work
};

LOGSUM_API Status measure(const MeasureArgs& args, const Context& context = {}) noexcept;

LOGSUM_API std::size_t measure_workspace_size(const MeasureArgs& args) noexcept;

}  // namespace logsum
