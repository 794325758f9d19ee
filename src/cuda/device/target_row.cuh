// SPDX-License-Identifier: Apache-2.0
// A row scored for a loss by one warp: its target's log-prob, and the mass of all others, for which
// the target's tile is measured a second time without it (core/scored_row.hpp).
#pragma once

#include "core/scored_row.hpp"
#include "cuda/device/row.cuh"

namespace logsum::cuda {

// A tile without one of its columns.
template <class Whole>
struct TileWithout {
  static constexpr DType kDType = Whole::kDType;

  Whole tile;
  int column;
  int columns;

  __device__ TileWithout(const Whole& whole, int left_out)
      : tile(whole), column(left_out), columns(whole.columns) {}

  __device__ __forceinline__ Chunk<kDType> chunk(int k) const {
    Chunk<kDType> chunk = tile.chunk(k);
    if (column / kChunk == k) chunk.clear(column % kChunk);
    return chunk;
  }
  __device__ __forceinline__ float value(int i) const {
    return i == column ? kNegInf : tile.value(i);
  }
};

// Whatever tiles, at one temperature.
template <class TileOf, class ExpOf>
struct KindOfTile : MeasureKind<TileOf::kDType, ExpOf, false, false> {
  using Tile = TileOf;
};

// Not inlined: the loops around it must stay small.
template <DType kDType, class Exp>
__device__ __noinline__ TileRecord record_without(DenseTile<kDType> tile, int column,
                                                  TileTemperature temperature) {
  using Kind = KindOfTile<TileWithout<DenseTile<kDType>>, Exp>;
  TileMeasure<Kind> measure(temperature);
#pragma unroll 1
  for (int k = 0; k * kChunk < tile.columns; ++k) {
    const int left = tile.columns - k * kChunk;
    Chunk<kDType> chunk;
    load_chunk(chunk, tile.z + k * kChunk * size_of(kDType), left, tile.is_first && k == 0);
    if (column / kChunk == k) chunk.clear(column % kChunk);
    measure.add(chunk, k, left);
  }
  return measure.records(TileWithout(tile, column)).at_temperature;
}

// The record of the tile of a row's target without it.
template <DType kDType, class Exp>
__device__ __forceinline__ TileRecord record_without_target(const RowsView& logits,
                                                            std::int64_t row, std::int64_t target,
                                                            const TileTemperature& temperature) {
  const std::int64_t index = target / kTile;
  const DenseTile<kDType> tile{row_address(logits, row) + index * kTile * size_of(kDType),
                               columns_of_tile(logits, index), index == 0};
  return record_without<kDType, Exp>(tile, static_cast<int>(target % kTile), temperature);
}

// From the records of a row's tiles. `value`: the target's logit, if it has a target. Without
// `rest`, for which the row's measure is.
template <class Kind>
__device__ __forceinline__ ScoredRow score_target(const TileRecord* records, std::int64_t columns,
                                                  const Temperature& temperature, float value,
                                                  RowMeasure& measure) {
  const auto tiles = static_cast<int>(tile_count(columns));
  ScoredRow scored;
  measure = join_records<Kind::kMoment>(records, tiles, columns, scored.status);
  if (scored.status != RowStatus::ok) return scored;
  scored = scored_row(measure, temperature, Kind::Exp::weight_of_max(measure, temperature), value);
  if constexpr (Kind::kMoment) scored.entropy = row_entropy(measure, scored.norm, temperature);
  return scored;
}

// ScoredRow::rest. `without`: the record of the target's tile without it.
__device__ __forceinline__ double rest_of_row(const TileRecord* records, std::int64_t columns,
                                              std::int64_t target, const TileRecord* without,
                                              const RowMeasure& measure) {
  const StoredRecordsBut others{records, static_cast<int>(target / kTile), without};
  return rest_of_mass(join_by_warp<false>(others, static_cast<int>(tile_count(columns)), columns),
                      measure);
}

}  // namespace logsum::cuda
