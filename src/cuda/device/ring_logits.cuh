// SPDX-License-Identifier: Apache-2.0
// Tiles of logits measured in a ring, by four warps: each weighs its chunk in registers;
// the tile's sums go from warp to warp, which add theirs; the last makes the record. So a group of
// warps needs one tile's lanes of shared memory, not four: every KB is the ring's.
#pragma once

#include "cuda/device/lanes.cuh"
#include "cuda/device/tile_of_row.cuh"
#include "cuda/device/visit_rings.cuh"

namespace logsum::cuda {

// What measuring a row asks of its parameters.
struct LogitsGiven {
  float temperature;

  template <class Call>
  __device__ __forceinline__ LogitsGiven(const Call& call, std::int64_t row)
      : temperature(call.temperature(row)) {}
};
struct LogitsAhead {
  Temperature temperature;
  TileTemperature of_tiles;

  template <class Call>
  __device__ __forceinline__ LogitsAhead(const Call& call, const TileTemperature& scalar,
                                         const LogitsGiven& given)
      : temperature(given.temperature),
        of_tiles(call.temperature.tensor ? TileTemperature(given.temperature) : scalar) {}
  __device__ __forceinline__ explicit LogitsAhead(float t) : temperature(t), of_tiles(t) {}
};

// What bounds a chunk: the lowest logit is at least, the highest is.
struct alignas(8) LogitsNote {
  float lowest = -kNegInf, highest = kNegInf;  // as of a chunk that doesn't exist
};

// Op: with Kind, an Ahead that has LogitsAhead's of_tiles, and LogitsNote or nothing as its Note.
// If it has an extra record that is of a tile without one of its columns, which Ahead::left_out()
// says. Of two inputs both are measured, of_tiles is an array, and each has records of its own.
template <class Op>
class MeasureLogits {
 public:
  using Kind = typename Op::Kind;
  static constexpr bool kLooksAgain = true, kByInput = Op::kInputs > 1;

  // Barrier i: warp i has passed the sums on.
  __device__ static constexpr int links(int) { return 1; }

  __device__ __forceinline__ void begin_row(const typename Op::Ahead& ahead) {
    static_assert(!ring_awaits_all(Op::kUse));
    // A tile's first warp begins anew when its last has ended.
    static_assert(ring_measures_again(Op::kUse) == (kByInput || kLeavesOut));
    if constexpr (kByInput) {
      temperature_ = ahead.of_tiles[0];
      other_ = ahead.of_tiles[1];
    } else {
      temperature_ = ahead.of_tiles;
    }
    if constexpr (kLeavesOut) left_out_ = ahead.left_out();
  }
  __device__ __forceinline__ int runs(int tile) const {
    if constexpr (kByInput) return 2;
    return kLeavesOut && tile == ::max(left_out_, 0) / kTile ? 2 : 1;
  }

  template <class Push>
  __device__ __forceinline__ typename Op::Note run(const RingTile<Op>& tile, const Push& push) {
    const int quarter = tile.quarter, left = tile.left(quarter);
    const TileTemperature temperature = kByInput && tile.input == 1 ? other_ : temperature_;
    typename Op::Note note;
    HeldLanes<Kind> lanes = {};
    lanes.max = kNegInf;  // as of a chunk that doesn't exist
    if (left > 0) {
      Chunk<Kind::kDType> chunk;
      chunk.take(tile.kept(), left);
      if constexpr (kLeavesOut)
        if (tile.record >= tile.space.tiles && left_out_ >= 0 &&
            left_out_ % kTile / kChunk == quarter)
          chunk.clear(left_out_ % kChunk);
      const float lowest = weigh_chunk<Kind>(lanes, chunk, left, temperature);
      if constexpr (kNotes) note = {lowest, lanes.max};
    }
    auto& room = tile.room();
    TileMeasure<Kind> measure(temperature);
    if (quarter > 0) {
      tile.link(quarter - 1).wait(phase_);
      measure.get(room);
    } else {
      tile.link(kLast).wait(phase_ ^ 1);  // the last warp has what was there
    }
    measure.add_weighed(lanes, quarter);
    if (quarter < kLast) measure.put(room);
    tile.link(quarter).arrive();
    phase_ ^= 1;
    if (quarter < kLast) return note;
    if (measure.trouble() == Trouble::none)
      push(with_left_out(tile, measure.record()));
    else
      tile.ask(static_cast<int>(measure.trouble()));
    return note;
  }

 private:
  static constexpr int kLast = kTileChunks - 1;

  // An extra record has the logit that it does without in place of a moment.
  __device__ __forceinline__ TileRecord with_left_out(const RingTile<Op>& tile,
                                                      TileRecord record) const {
    if constexpr (kLeavesOut) {
      if (tile.record >= tile.space.tiles && left_out_ >= 0) {
        constexpr int kBytes = size_of(Kind::kDType);
        const int column = left_out_ % kTile;
        const std::byte* const p = tile.arrived(column / kChunk) + column % kChunk * kBytes;
        record.moment = load_shared_element<Kind::kDType>(p);
      }
    }
    return record;
  }
  static constexpr bool kNotes = std::is_same_v<typename Op::Note, LogitsNote>;
  static constexpr bool kLeavesOut = RingMemory<Op>::kCost.extra_records > 0;

  TileTemperature temperature_;  // the first input's
  [[maybe_unused]] TileTemperature other_;
  int left_out_ = 0;    // the row's column that its extra record does without; −1: none
  unsigned phase_ = 0;  // of the links
};

// From the row itself, which isn't emitted before the record is there.
template <class Kind>
__device__ __forceinline__ TileRecord look_again(const RowsView& logits, std::int64_t row, int tile,
                                                 int why, const LogitsAhead& ahead) {
  const TileRecord record =
      look_again<Kind>(stored_tile<Kind>(logits, row, static_cast<unsigned>(tile)), ahead.of_tiles,
                       static_cast<Trouble>(why));
  return record;
}

}  // namespace logsum::cuda
