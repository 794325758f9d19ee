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

// The mass of a row's other columns, joined with the row: of the tile with the target a record
// without it is taken instead.
class OthersOfTarget {
 public:
  __device__ __forceinline__ OthersOfTarget(const TileRecord* records, int tile,
                                            const TileRecord* without)
      : records_(records), without_(without), tile_(tile) {
    const TileRecord record = load_record(without);
    is_far_ = !(fabs(record.n) <= kFarReference);
    if (warp_lane() != 0 || is_far_) return;
    instead_ = {record.sum, __double2int_rn(record.n), 0};
    if (record.sum > 0) n_ = instead_.n;
  }

  __device__ __forceinline__ bool is_far() const { return is_far_; }
  __device__ __forceinline__ void look(int i, const JoinedTile& tile) {
    if (i != tile_ && tile.sum > 0) n_ = max(n_, tile.n);
  }
  __device__ __forceinline__ void begin_sum() {
    n_ = warp_max(n_);
    is_near_ = true;
  }
  __device__ __forceinline__ void add(int i, const JoinedTile& tile, int mass_shift) {
    if (i != tile_) mass_ += shifted(tile.sum, mass_shift - (n_ - tile.n));
  }

  // ScoredRow::rest, of the row that has been joined.
  __device__ __forceinline__ double rest(const RowMeasure& row, int tiles,
                                         std::int64_t columns) const {
    if (!is_near_)
      return rest_of_mass(
          join_by_warp<false>(StoredRecordsBut{records_, tile_, without_}, tiles, columns), row);
    RowMeasure others;
    others.n = n_ == INT_MIN ? 0.0 : n_;
    std::uint64_t mass = mass_;
    if (instead_.sum > 0) mass += shifted(instead_.sum, row.mass_shift - (n_ - instead_.n));
    others.mass = warp_sum(mass);
    return rest_of_mass(others, row);
  }

 private:
  const TileRecord* records_;
  const TileRecord* without_;
  int tile_;
  bool is_far_, is_near_ = false;
  JoinedTile instead_;
  int n_ = INT_MIN;
  std::uint64_t mass_ = 0;
};

// Without a target a row that is well has no log-prob.
__device__ __forceinline__ void check_target(ScoredRow& scored, bool has_target) {
  if (has_target || scored.status != RowStatus::ok) return;
  scored.status = RowStatus::bad_target;
  scored.logp = kNan;
}

// From the records of a row's tiles. `value`: the target's logit, if it has a target. `without`:
// the record of the target's tile without it, for `rest`; null where nobody asks.
template <class Kind>
__device__ __forceinline__ ScoredRow score_target(const TileRecord* records, std::int64_t columns,
                                                  const Temperature& temperature, float value,
                                                  std::int64_t target, const TileRecord* without) {
  const auto tiles = static_cast<int>(tile_count(columns));
  ScoredRow scored;
  RowMeasure measure;
  double rest = 1;
  if (without != nullptr) {
    OthersOfTarget others(records, static_cast<int>(target / kTile), without);
    measure = join_records<Kind::kMoment>(records, tiles, columns, scored.status, others);
    rest = others.rest(measure, tiles, columns);
  } else {
    measure = join_records<Kind::kMoment>(records, tiles, columns, scored.status);
  }
  if (scored.status != RowStatus::ok) return scored;
  scored = scored_row(measure, temperature, Kind::Exp::weight_of_max(measure, temperature), value);
  scored.rest = rest;
  if constexpr (Kind::kMoment) scored.entropy = row_entropy(measure, scored.norm, temperature);
  return scored;
}

}  // namespace logsum::cuda
