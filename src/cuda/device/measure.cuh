// SPDX-License-Identifier: Apache-2.0
// measure: one tile of a row of logits, by one warp, from memory to its record.
#pragma once

#include <type_traits>

#include "cuda/device/far_tile.cuh"
#include "cuda/device/tile.cuh"

namespace logsum::cuda {

// What a launch measures of each tile.
template <DType kDTypeOf, class ExpOf, bool kMomentOf, bool kRawOf, bool kStridedOf = false>
struct MeasureKind {
  static constexpr DType kDType = kDTypeOf;
  using Exp = ExpOf;
  static constexpr bool kMoment = kMomentOf;  // for the entropy
  static constexpr bool kRaw = kRawOf;        // at T = 1 too
  static constexpr int kRecords = kRaw ? 2 : 1;
  static constexpr bool kStrided = kStridedOf;  // columns that don't follow each other
  using Tile = std::conditional_t<kStrided, StridedTile<kDType>, DenseTile<kDType>>;
};

struct TileRecords {
  TileRecord at_temperature, raw;
};

// Of a record that must be made again: no tile has such a reference.
__device__ __forceinline__ void mark(TileRecord& record) { record.n = kNan; }
__device__ __forceinline__ bool is_marked(const TileRecord& record) { return record.n != record.n; }
// The record of a tile that has trouble.
template <class Kind>
__device__ __forceinline__ TileRecord look_again(const typename Kind::Tile& tile,
                                                 const TileTemperature& temperature,
                                                 Trouble trouble) {
  if (trouble == Trouble::poisoned) {
    const TileRecord record = poisoned_record<typename Kind::Tile>(tile);
    return record;
  }
  const TileRecord record =
      measure_far_tile<typename Kind::Exp, typename Kind::Tile>(tile, temperature);
  return record;
}

// The sums of one tile as they grow, chunk by chunk.
template <class Kind>
class TileMeasure {
 public:
  __device__ __forceinline__ explicit TileMeasure(const TileTemperature& temperature)
      : temperature_(temperature) {}

  __device__ __forceinline__ void add(const Chunk<Kind::kDType>& chunk, int index, int columns) {
    const ChunkExtremes extremes(chunk);
    sums_.add(chunk, extremes, temperature_, index, columns);
    if constexpr (Kind::kRaw) raw_.add(chunk, extremes, raw_temperature(), index, columns);
  }

  // The same of a chunk that another warp has weighed (ChunkLanes, lanes.cuh).
  template <class Lanes>
  __device__ __forceinline__ void add_weighed(const Lanes& lanes, int index) {
    add_lanes(sums_, lanes, 0, temperature_, index);
    if constexpr (Kind::kRaw) add_lanes(raw_, lanes, 1 + Kind::kMoment, raw_temperature(), index);
  }

  // What has been added, for the warp that adds the next chunk (TileRoom, lanes.cuh).
  template <class Room>
  __device__ __forceinline__ void put(Room& room) const {
    sums_.put(room);
  }
  template <class Room>
  __device__ __forceinline__ void get(const Room& room) {
    sums_.get(room);
  }

  // Of a tile all of whose chunks have been added: what is known without another look at it.
  __device__ __forceinline__ Trouble trouble() const { return sums_.trouble(); }
  __device__ __forceinline__ TileRecord record() const { return sums_.record(); }
  // And with one.
  __device__ __forceinline__ TileRecords records(const typename Kind::Tile& tile) const {
    TileRecords records;
    records.at_temperature = record_of(sums_, tile, temperature_);
    if constexpr (Kind::kRaw) records.raw = record_of(raw_, tile, raw_temperature());
    return records;
  }

  // The same without a call: of a tile with NaN, +∞ or a far chunk marked records, to be mended.
  __device__ __forceinline__ TileRecords records_or_marks() const {
    TileRecords records = {sums_.record(), raw_.record()};
    if (sums_.trouble() != Trouble::none || (Kind::kRaw && raw_.trouble() != Trouble::none)) {
      mark(records.at_temperature);
      mark(records.raw);
    }
    return records;
  }

  __device__ static TileTemperature raw_temperature() {
    TileTemperature temperature;
    temperature.c = static_cast<float>(kLog2e);
    temperature.inverse_c = 1.0f / static_cast<float>(kLog2e);
    return temperature;
  }

 private:
  template <bool kMoment>
  using Sums = TileSums<Kind::kDType, typename Kind::Exp, kMoment>;

  template <bool kMoment, class Lanes>
  __device__ __forceinline__ static void add_lanes(Sums<kMoment>& sums, const Lanes& lanes,
                                                   int first_sum,
                                                   const TileTemperature& temperature, int index) {
    const auto join = sums.begin(ChunkReference(lanes.max, temperature), lanes.max, index);
    float s[kPositions], e[kPositions] = {};
    lanes.get(first_sum, s);
    if (kMoment) lanes.get(first_sum + 1, e);
      // Not only where the reference rises: four branches cost more than the multiplications.
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      if (index > 0) sums.raise_lane(join, i);
      sums.add_lane(join, i, s[i], e[i]);
    }
  }

  template <bool kMoment>
  __device__ __forceinline__ static TileRecord record_of(const Sums<kMoment>& sums,
                                                         const typename Kind::Tile& tile,
                                                         const TileTemperature& temperature) {
    TileRecord record = sums.record();
    if (sums.trouble() != Trouble::none) {
      const TileRecord again = look_again<Kind>(tile, temperature, sums.trouble());
      record = again;
    }
    return record;
  }

  TileTemperature temperature_;
  Sums<Kind::kMoment> sums_;
  Sums<false> raw_;
};

// A tile whose logits don't lie in whole vectors. Not inlined, as the loop around the others must
// stay small: beyond some 800 instructions it waits for itself (0.54 instead of 0.8 issued per
// cycle).
template <class Kind>
__device__ __noinline__ TileRecords measure_odd_tile(typename Kind::Tile tile,
                                                     TileTemperature temperature) {
  TileMeasure<Kind> measure(temperature);
#pragma unroll 1
  for (int k = 0; k * kChunk < tile.columns; ++k)
    measure.add(tile.chunk(k), k, tile.columns - k * kChunk);
  return measure.records(tile);
}

// A tile of whole vectors. get(chunk, k, left): its chunk k, from which on `left` columns exist.
// tile(): the tile, asked for in the end, so that it needn't be kept in registers until then.
template <class Kind, class Get, class GetTile>
__device__ __forceinline__ TileRecords measure_vectors(int columns,
                                                       const TileTemperature& temperature,
                                                       const Get& get, const GetTile& tile) {
  TileMeasure<Kind> measure(temperature);
  int k = 0;
#pragma unroll 1
  for (int left = columns; left > 0; left -= kChunk, ++k) {
    Chunk<Kind::kDType> chunk;
    get(chunk, k, left);
    measure.add(chunk, k, left);
  }
  return measure.records(tile());
}

// Unless kMayHaveVectors it takes a tile of vectors too, as any other: the caller has a loop for
// them, and a second one would crowd it.
template <class Kind, bool kMayHaveVectors = true>
__device__ __forceinline__ TileRecords measure_tile(const typename Kind::Tile& tile,
                                                    const TileTemperature& temperature) {
  if (!kMayHaveVectors || !tile.has_vectors()) {
    const TileRecords odd = measure_odd_tile<Kind>(tile, temperature);
    TileRecords records = odd;
    return records;
  }
  // A chunk is on its way while the one before is weighed.
  Chunk<Kind::kDType> next;
  const std::byte* p = tile.z + warp_lane() * 16;
  const auto load = [&](int columns) {
    if (columns >= kChunk)
      next.load(p);
    else
      next.load(p, columns);
    p += kChunk * static_cast<int>(size_of(Kind::kDType));
  };
  load(tile.columns);
  return measure_vectors<Kind>(
      tile.columns, temperature,
      [&](Chunk<Kind::kDType>& chunk, int, int left) {
        chunk = next;
        if (left > kChunk) load(left - kChunk);
      },
      [&] { return tile; });
}

}  // namespace logsum::cuda
