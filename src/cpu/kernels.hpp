// SPDX-License-Identifier: Apache-2.0
// The CPU's SIMD code: a handful of functions on one tile of a row, one set of them per SIMD
// target. All operations of the CPU backend are plain C++ over this table; nothing else in the
// library knows of SIMD. Every target returns the same bits (docs/design/tile_tree.md).
#pragma once

#include <cstdint>

#include "core/measure.hpp"
#include "logsum/context.hpp"
#include "logsum/dtype.hpp"

namespace logsum::cpu {

// A tile of logits as f32, ready to be measured. Room behind `columns` up to a whole chunk is −∞.
struct Tile {
  const float* z = nullptr;
  int columns = 0;
  float chunk_max[kTileChunks] = {};  // NaNs left out; −∞ for a chunk without any number

  // What the next load will read, fetched while this tile is measured from L1: without it reading
  // and computing take turns (2.3 instead of 3.3 G logits/s, f32, Zen 3).
  const char* ahead = nullptr;
  int ahead_per_lane = 0;  // bytes per lane and chunk
};

// Where a tile lives when it can't be used in place.
struct alignas(64) TileScratch {
  float z[kTile];
};

// Draws: in units of 2^-kDrawShift of a tile's reference, a tile's weights sum to less than 2^51.
inline constexpr int kDrawShift = 38;
inline constexpr int kDrawBlock = 64;
inline constexpr int kDrawBlocks = kTile / kDrawBlock;

struct Kernels {
  SimdTarget id;

  // transform: `columns` (1 … kTile) logits at `source`, converted to f32. Today that is all a
  // transform does; masks, biases, penalties and filters join here, before the maxima are taken. A
  // f32 tile that is whole is left in place; else the result is in `scratch`.
  Tile (*load)(const void* source, DType dtype, int columns, TileScratch& scratch);

  // measure: the tile's record at a temperature, without argmax; the moment only if asked for.
  TileRecord (*measure)(const Tile& tile, const Temperature& temperature, bool moment);

  // The first column equal to `value`; −1 if none.
  int (*find)(const Tile& tile, float value);

  // Columns strictly greater than `value`.
  int (*count_greater)(const Tile& tile, float value);

  // decide: the weights of the tile's columns relative to its reference, rounded to draw units,
  // summed per block of kDrawBlock columns, and each as f32 in `weights`. −∞ weighs nothing.
  void (*draw_weights)(const Tile& tile, const Temperature& temperature, float* weights,
                       std::uint64_t* block_masses);
};

// The weight in draw units of a value from draw_weights.
inline std::uint64_t draw_units(float weight) {
  return static_cast<std::uint64_t>(std::rint(static_cast<double>(weight) * (1ull << kDrawShift)));
}

// Null where this machine or build has no such target.
const Kernels* kernels_for(SimdTarget target) noexcept;

}  // namespace logsum::cpu
