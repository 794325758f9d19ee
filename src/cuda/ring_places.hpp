// SPDX-License-Identifier: Apache-2.0
// Where a ring's warps are: which rows, tiles and slots, in which turn (device/visit_rings.cuh).
// Apart from the device's code, so that a model of the protocol goes through the same
// (tests/ring_protocol_test.cpp). `Memory` has the ring's constants, and what its barriers say.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// A place that comes round, and how often it has: the phase of its barriers.
struct RingIndex {
  int at = 0;
  unsigned phase = 0;

  // Where the i-th is.
  LOGSUM_HOST_DEVICE static RingIndex of(int i, int size) {
    return {i % size, static_cast<unsigned>(i / size) & 1};
  }

  // By at most as many steps as there are places.
  LOGSUM_HOST_DEVICE RingIndex ahead(int steps, int size) const {
    const int next = at + steps;
    return next < size ? RingIndex{next, phase} : RingIndex{next - size, phase ^ 1};
  }
  LOGSUM_HOST_DEVICE RingIndex behind(int steps, int size) const {
    const int next = at - steps;
    return next >= 0 ? RingIndex{next, phase} : RingIndex{next + size, phase ^ 1};
  }
};

// What a CTA has of the rows. Where a row's tiles don't divide evenly, the CTAs that have one more
// take turns: over as many rows as there are CTAs all have the same.
struct RingPlace {
  std::int64_t first_row;
  int clusters;
  int rows;   // of the cluster
  int block;  // in the cluster

  // Of so many rows of all clusters, at the grid's CTA `at` of `blocks`.
  LOGSUM_HOST_DEVICE RingPlace(const RingSpace& space, std::int64_t all_rows, int at, int blocks,
                               bool joins_everywhere)
      : first_row(at / space.blocks), clusters(blocks / space.blocks), block(at % space.blocks) {
    while (2 << log2_blocks_ <= space.blocks) ++log2_blocks_;
    log2_turns_ = joins_everywhere ? 0 : log2_blocks_;
    rows = first_row < all_rows ? static_cast<int>((all_rows - first_row + clusters - 1) / clusters)
                                : 0;
  }
  // Which CTA of the cluster joins its i-th, or, if all do, writes its results.
  LOGSUM_HOST_DEVICE int joining_block(int i) const { return i & ((1 << log2_blocks_) - 1); }
  // Of how many rows that follow each other a CTA joins one, and which is its first.
  LOGSUM_HOST_DEVICE int turns() const { return 1 << log2_turns_; }
  LOGSUM_HOST_DEVICE int first_to_join() const { return block & (turns() - 1); }
  // Which of its tables has the records of the i-th, if it joins that. They take turns, and are a
  // multiple of the joiners: a table is always the same joiner's, who waits for one row after the
  // other.
  LOGSUM_HOST_DEVICE RingIndex table(int i, const RingSpace& space) const {
    return RingIndex::of(i >> log2_turns_, space.tables);
  }
  // The same from that of the row before the i-th.
  LOGSUM_HOST_DEVICE int next_table(int table, int i, const RingSpace& space) const {
    if ((i & (turns() - 1)) != 0) return table;
    return table + 1 < space.tables ? table + 1 : 0;
  }
  // The number of the cluster's i-th, as an operation counts them.
  LOGSUM_HOST_DEVICE std::int64_t row(int i) const {
    return first_row + std::int64_t{i} * clusters;
  }
  // The CTA's tiles of its cluster's i-th row: from this one on, before that of the next CTA.
  LOGSUM_HOST_DEVICE int begin(int i, const RingSpace& space) const {
    return begin_of(block, i, space);
  }
  LOGSUM_HOST_DEVICE int end(int i, const RingSpace& space) const {
    return begin_of(block + 1, i, space);
  }

 private:
  LOGSUM_HOST_DEVICE int begin_of(int of_block, int i, const RingSpace& space) const {
    return (space.tiles * of_block + (i & (space.blocks - 1))) >> log2_blocks_;
  }

  int log2_blocks_ = 0, log2_turns_;
};

// A warp's chunk of a tile, in the order in which tiles pass. It keeps the row's table: who pushes
// a record has no time for a division (softmax's gradient, 4096 x 151936 bf16: 1018 us, 998).
struct RingCursor {
  int row = 0;             // of the cluster's
  int tile;                // of the row
  int end;                 // of the CTA's tiles of it
  bool is_new_row = true;  // since the last
  int table = 0;           // the row's, in who joins it
  RingIndex slot;          // of the chunk
  RingIndex known;         // of the row

  // From the first tile.
  template <class Memory>
  LOGSUM_HOST_DEVICE RingCursor(const Memory& memory, const RingPlace& place,
                                const RingSpace& space, int group, int quarter)
      : tile(place.begin(0, space)), end(place.end(0, space)) {
    skip(memory, place, space, group);
    is_new_row = true;
    slot = slot.ahead(quarter / Memory::kSlotChunks, space.slots);
  }
  template <class Memory>
  LOGSUM_HOST_DEVICE void skip(const Memory&, const RingPlace& place, const RingSpace& space,
                               int tiles) {
    tile += tiles;
    is_new_row = false;
#ifdef __CUDACC__
#pragma unroll 1
#endif
    while (tile >= end) {
      ++row;
      tile += place.begin(row, space) - end;
      end = place.end(row, space);
      known = known.ahead(1, space.known_rows);
      table = place.next_table(table, row, space);
      is_new_row = true;
    }
    slot = slot.ahead(tiles * Memory::kTileSlots, space.slots);
  }

  // The tile's first slot, of the warp that has this quarter.
  template <class Memory>
  LOGSUM_HOST_DEVICE RingIndex first_slot(const Memory&, const RingSpace& space,
                                          int quarter) const {
    return slot.behind(quarter / Memory::kSlotChunks, space.slots);
  }
  // Whether a warp may begin its tile: its slot may have been asked for, or, where it needs all of
  // the tile's (ring_needs_all), all of them: one may hold what the warp itself is to add up or
  // emit. Comes before whether a copy has ended: copies end in any order, and until a slot has been
  // emptied its barrier may be two phases behind, which the parity doesn't tell.
  template <class Memory>
  LOGSUM_HOST_DEVICE bool may_begin(const Memory& memory, const RingSpace& space, int quarter,
                                    bool needs_all) const {
    // That a tile's only slot is the warp's own the compiler doesn't see (policy_loss, 4096 x
    // 151936 bf16: 718 us, 700).
    if (!needs_all || Memory::kTileSlots == 1) return memory.is_emptied(slot);
    return memory.are_emptied(first_slot(memory, space, quarter), Memory::kTileSlots, space);
  }
};

}  // namespace logsum::cuda
