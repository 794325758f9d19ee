// SPDX-License-Identifier: Apache-2.0
// The CPU's SIMD code: a handful of functions on one tile of a row, one set of them per SIMD
// target. All operations of the CPU backend are plain C++ over this table; nothing else in the
// library knows of SIMD. Every target returns the same bits (docs/design/tile_tree.md).
#pragma once

#include <cstdint>

#include "core/column_gradient.hpp"
#include "core/divergence.hpp"
#include "core/measure.hpp"
#include "core/row_exp.hpp"
#include "core/row_sum.hpp"
#include "core/scored_row.hpp"
#include "logsum/context.hpp"
#include "logsum/dtype.hpp"

namespace logsum::cpu {

// A tile of logits as f32. Room behind `columns` up to a whole chunk is −∞.
struct Tile {
  const float* z = nullptr;
  int columns = 0;
  float chunk_max[kTileChunks] = {};  // NaNs left out; −∞ for a chunk without any number
};

// Where a tile lives when it can't be used in place.
struct alignas(64) TileScratch {
  float z[kTile];
};

// Draws: in units of 2^-kDrawShift of a tile's reference, a tile's weights sum to less than 2^51.
inline constexpr int kDrawShift = 38;
inline constexpr int kDrawBlock = 64;
inline constexpr int kDrawBlocks = kTile / kDrawBlock;

// Roughly how a tile's mass is spread, for draws (spread.hpp): sums of the weights of
// kSpreadColumns columns each, relative to their chunk's reference n; NaN where they weren't taken.
inline constexpr int kSpreadColumns = kLanes;
inline constexpr int kSpreadSums = kTile / kSpreadColumns;
struct TileSpread {
  float sums[kSpreadSums] = {};
  float n[kTileChunks] = {kNegInf, kNegInf, kNegInf, kNegInf};  // −∞: nothing there
};

// What to measure of each tile.
struct MeasureSpec {
  const Temperature& temperature;
  bool moment = false;                  // for the entropy; at the first temperature only
  const Temperature* second = nullptr;  // optional: once more at another, from the same read
  TileSpread* spread = nullptr;  // optional, per tile at the first temperature; not with a moment
};

// Where a tile's gradient goes; null: nowhere.
struct GradientTile {
  void* out;
  DType dtype;
};

struct Kernels {
  SimdTarget id;

  // transform and measure: the records, without argmax, of the tiles of `columns` logits at
  // `source`, where a tile begins. second_records only where a second temperature is given.
  void (*measure_tiles)(const void* source, DType dtype, std::int64_t columns,
                        const MeasureSpec& spec, TileRecord* records, TileRecord* second_records);

  // transform alone: `columns` (1 … kTile) logits at `source`. A f32 tile that is whole stays in
  // place; else the result is in `scratch`.
  Tile (*load)(const void* source, DType dtype, int columns, TileScratch& scratch);

  // The first column equal to `value`; −1 if none.
  int (*find)(const Tile& tile, float value);

  // Columns strictly greater than `value`.
  int (*count_greater)(const Tile& tile, float value);

  // decide: the weights of the tile's columns relative to its reference, rounded to draw units,
  // summed per block of kDrawBlock columns, and each as f32 in `weights`. −∞ weighs nothing.
  void (*draw_weights)(const Tile& tile, const Temperature& temperature, float* weights,
                       std::uint64_t* block_masses);

  // The weights of the kSpreadColumns columns at `source`, as draw_weights gives them: of a near
  // chunk with this reference, times `factor`.
  void (*spread_weights)(const void* source, DType dtype, float n, float factor,
                         const Temperature& temperature, float* weights);
  double spread_error;  // of a TileSpread's sums, relative, at most

  // emit: the tile's columns as probabilities or log-probs, in `dtype` at `out`, which may be where
  // the tile lies.
  void (*emit_exp)(const Tile& tile, const RowExp& exp, void* out, DType dtype);
  void (*emit_logprobs)(const Tile& tile, const RowNorm& norm, void* out, DType dtype);

  // emit: gradients of a row's logits but the target's, where they have an entropy's part.
  void (*emit_with_entropy)(const Tile& tile, const RowGradient& gradient, void* out, DType dtype);

  // transform: the tile through a softcap, in `scratch`, where it may lie.
  Tile (*cap)(const Tile& tile, const Softcap& softcap, TileScratch& scratch);

  // emit: of logits and their exponentials the gradients. `weights` (null: 1) and `exponentials`
  // have room up to a whole chunk; `out` may be where the tile lies.
  void (*emit_columns)(const Tile& tile, const float* exponentials, const float* weights,
                       const ColumnGradient& gradient, void* out, DType dtype);

  // Of a tile of gradients g and a tile of probabilities (log-probs): Σ g·p (Σ g) over the columns
  // whose probability isn't 0, then, with the row's sum, the gradient of the logits; 0 at the other
  // columns.
  double (*sum_products)(const Tile& g, const Tile& p);
  double (*sum_live)(const Tile& g, const Tile& logp);
  void (*softmax_gradient)(const Tile& g, const Tile& p, const RowSum& sum, void* out, DType dtype);
  void (*log_softmax_gradient)(const Tile& g, const Tile& logp, const RowSum& sum, void* out,
                               DType dtype);

  // Of a tile of each of two rows: what it adds to their divergence, then the gradients of both.
  DivergenceSums (*sum_divergence)(const Tile& a, const Tile& b, const DivergencePair& pair);
  void (*write_divergence_gradients)(const Tile& a, const Tile& b, const DivergencePair& pair,
                                     const DivergenceGradient& gradient, const GradientTile& to_a,
                                     const GradientTile& to_b);
};

// The weight in draw units of a value from draw_weights.
inline std::uint64_t draw_units(float weight) {
  return static_cast<std::uint64_t>(std::rint(static_cast<double>(weight) * (1ull << kDrawShift)));
}

// Null where this machine or build has no such target.
const Kernels* kernels_for(SimdTarget target) noexcept;

}  // namespace logsum::cpu
