// SPDX-License-Identifier: Apache-2.0
// How a warp comes by the tiles of its CTA's span and by their logits. Either it draws a tile when
// it needs one and loads chunk after chunk into registers, or it draws them before their turn comes
// and has a few KB on their way into shared memory by bulk copies, which go on across the ends of
// tiles and rows: while a warp joins a row's records and writes its results, what it weighs next
// arrives.
//
// Both have begin_tile(draw), called by the warp before each tile; tile(), which is to be used
// while tile().at lies in the span; has_vectors(), whether all of the tile's chunks are to be
// taken (take) or none of them (pass). `draw` has ticket(), by one thread, and tile(ticket); a
// warp's first ticket is its own number.
#pragma once

#include "cuda/device/barriers.cuh"
#include "cuda/device/chunk.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// A tile that a warp has drawn.
struct alignas(16) DrawnTile {
  const std::byte* z;  // null: of a row that isn't there
  unsigned at;         // in the span
  int columns;
};

// All of the tile lies in whole vectors.
template <DType kDType>
__device__ __forceinline__ bool is_aligned(const DrawnTile& tile) {
  return tile.z != nullptr && reinterpret_cast<std::uintptr_t>(tile.z) % 16 == 0 &&
         tile.columns % Chunk<kDType>::kPerVector == 0;
}

template <DType kDType, bool kStrided>
class TilesByTicket {
 public:
  struct State {};

  __device__ __forceinline__ TilesByTicket(std::byte*, unsigned warp, State&, int)
      : ticket_(warp) {}

  template <class Draw>
  __device__ __forceinline__ void begin_tile(const Draw& draw) {
    const unsigned at = __shfl_sync(~0u, ticket_, 0);
    if (warp_lane() == 0) ticket_ = draw.ticket();
    tile_ = draw.tile(at);
  }
  __device__ __forceinline__ const DrawnTile& tile() const { return tile_; }
  __device__ __forceinline__ bool has_vectors() const {
    return !kStrided && is_aligned<kDType>(tile_);
  }

  __device__ __forceinline__ void take(Chunk<kDType>& chunk, int k, int left) {
    chunk.load(tile_.z, k, left);
  }
  __device__ __forceinline__ void pass() {}

 private:
  DrawnTile tile_;
  unsigned ticket_;  // one thread's: the tile after this
};

// A tile's chunks fill one slot after the other, its last one perhaps in part; a tile that isn't
// copied has a slot too. Who empties a slot asks for what comes next. Tiles are drawn between
// tiles, one ahead of what is asked for: where a row lies may take a call to find out, and what
// lives beside a call in a loop lives in memory.
template <DType kDType>
class TilesAhead {
 public:
  static constexpr int kMostSlots = span_slots_ahead(kDType);
  static constexpr int kWarps = span_threads(kDType) / kWarp;
  static constexpr int kSlotBytes = kChunk * static_cast<int>(size_of(kDType));
  static_assert(kWarps * kSlotBytes == span_room_bytes(kDType, 1));

  // Of a warp, in shared memory, so that it takes no registers from the sums. One thread's, but
  // `current`.
  struct State {
    DrawnTile current, next;      // next: drawn, not asked for, if has_next
    DrawnTile asked[kMostSlots];  // by slot: the tile that begins there
    ByteBarrier arrived[kMostSlots];
    const std::byte* z;  // what is to be asked for:
    int left;            // columns of its tile, from there on
    int owed;            // slots that were emptied when there was no next tile
    unsigned ticket;     // of the tile after `next`
    bool has_next;
  };

  // `rooms`: of all warps.
  __device__ __forceinline__ TilesAhead(std::byte* rooms, unsigned warp, State& state, int slots)
      : room_(shared_address(rooms) + warp * kSlotBytes + warp_lane() * 16),
        state_(state),
        slots_(slots) {
    asm volatile("" : "+r"(room_));  // or it would be computed anew for every chunk
    if (warp_lane() != 0) return;
    state.left = 0;
    state.owed = slots;
    state.has_next = false;
    state.ticket = warp;
    for (int i = 0; i < slots; ++i) state.arrived[i].begin();
    ByteBarrier::fence_barriers();
  }

  template <class Draw>
  __device__ __forceinline__ void begin_tile(const Draw& draw) {
    __syncwarp();
    if (warp_lane() == 0) {
      for (;; --state_.owed) {
        if (!state_.has_next) {
          state_.next = draw.tile(state_.ticket);
          state_.ticket = draw.ticket();
          state_.has_next = true;
        }
        if (state_.owed == 0) break;
        const int slot = slot_ - state_.owed;
        ask(slot < 0 ? slot + slots_ : slot);
      }
      state_.current = state_.asked[slot_];
    }
    __syncwarp();
  }
  __device__ __forceinline__ DrawnTile tile() const { return state_.current; }
  __device__ __forceinline__ bool has_vectors() const { return is_aligned<kDType>(tile()); }

  __device__ __forceinline__ void take(Chunk<kDType>& chunk, int, int left) {
    state_.arrived[slot_].wait(phase_);
    chunk.take(room_of(slot_), left);
    free_slot();
  }
  __device__ __forceinline__ void pass() { free_slot(); }

 private:
  __device__ __forceinline__ unsigned room_of(int slot) const {
    return room_ + static_cast<unsigned>(slot * (kWarps * kSlotBytes));
  }

  __device__ __forceinline__ void free_slot() {
    __syncwarp();  // all threads have what was there
    if (warp_lane() == 0) {
      if (state_.left > 0 || state_.has_next)
        ask(slot_);
      else
        ++state_.owed;
    }
    if (++slot_ == slots_) {
      slot_ = 0;
      phase_ ^= 1;
    }
  }

  // By one thread.
  __device__ __forceinline__ void ask(int slot) {
    int left = state_.left;
    const std::byte* z = state_.z;
    if (left <= 0) {
      const DrawnTile tile = state_.next;
      state_.has_next = false;
      state_.asked[slot] = tile;
      if (!is_aligned<kDType>(tile)) return state_.arrived[slot].arrive();
      z = tile.z;
      left = tile.columns;
    }
    state_.z = z + kSlotBytes;
    state_.left = left - kChunk;
    state_.arrived[slot].copy(
        room_of(slot), z,
        static_cast<unsigned>(min(left, kChunk) * static_cast<int>(size_of(kDType))));
  }

  unsigned room_;  // address of the thread's first vector of slot 0; one thread's is the slot's
  State& state_;
  int slots_;
  int slot_ = 0;
  unsigned phase_ = 0;
};

// Host code is compiled as for a GPU without bulk copies: it has no use for either.
template <DType kDType, bool kStrided>
using SpanTiles = std::conditional_t<kHasBulkCopies && !kStrided && span_slots_ahead(kDType) != 0,
                                     TilesAhead<kDType>, TilesByTicket<kDType, kStrided>>;

}  // namespace logsum::cuda
