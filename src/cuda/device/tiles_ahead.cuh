// SPDX-License-Identifier: Apache-2.0
// The tiles of a span that a warp draws, a few KB of them on their way into shared memory by bulk
// copies. They go on across the ends of tiles and rows: while a warp joins a row's records and
// writes its results, what it weighs next arrives. Loads into registers can't: a warp that asks for
// a chunk there has put the one before away, and while it weighs one it asks for nothing.
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

// A tile's chunks fill one slot after the other, its last one perhaps in part; a tile that isn't
// copied has a slot too. Who empties a slot asks for what comes next. Tiles are drawn between
// tiles, one ahead of what is asked for: where a row lies may take a call to find out, and what
// lives beside a call in a loop lives in memory.
template <DType kDType, bool kStrided>
class TilesAhead {
 public:
  static constexpr bool kCopies = kHasBulkCopies && !kStrided;
  static constexpr int kMostSlots = span_slots_ahead(kDType);
  static constexpr int kChunks = span_slot_chunks(kDType);  // of a slot
  static constexpr int kChunkBytes = kChunk * static_cast<int>(size_of(kDType));
  static constexpr int kSlotBytes = kChunks * kChunkBytes;
  static constexpr int kWarps = span_threads(kDType) / kWarp;
  static_assert(kTileChunks % kChunks == 0);
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
    bool has_next, has_drawn;
  };

  // `rooms`: of all warps. Without slots nothing is copied.
  __device__ __forceinline__ TilesAhead(std::byte* rooms, unsigned warp, State& state, int slots)
      : room_(shared_address(rooms) + warp * kSlotBytes + warp_lane() * 16),
        state_(state),
        slots_(slots) {
    asm volatile("" : "+r"(room_));  // or it would be computed anew for every chunk
    if (warp_lane() != 0) return;
    state.left = 0;
    state.owed = slots;
    state.has_next = false;
    state.has_drawn = false;
    if (!copies()) return;
    for (int i = 0; i < slots; ++i) state.arrived[i].begin();
    ByteBarrier::fence_barriers();
  }

  // Goes to the next tile. draw(is_first) is called by one thread and gives the one after all
  // before.
  template <class Draw>
  __device__ __forceinline__ void begin_tile(const Draw& draw) {
    __syncwarp();
    if (warp_lane() == 0) {
      for (;; --state_.owed) {
        if (!state_.has_next) state_.next = draw(!state_.has_drawn);
        state_.has_next = state_.has_drawn = true;
        if (!copies() || state_.owed == 0) break;
        const int slot = slot_ - state_.owed;
        ask(slot < 0 ? slot + slots_ : slot);
      }
      if (!copies()) state_.has_next = false;
      state_.current = copies() ? state_.asked[slot_] : state_.next;
    }
    __syncwarp();
  }
  __device__ __forceinline__ DrawnTile tile() const { return state_.current; }

  // All chunks of such a tile are to be taken; others are to be passed.
  __device__ __forceinline__ bool is_copied(const DrawnTile& tile) const {
    return copies() && tile.z != nullptr && reinterpret_cast<std::uintptr_t>(tile.z) % 16 == 0 &&
           tile.columns % Chunk<kDType>::kPerVector == 0;
  }

  // The tile's chunk k, from which on `left` columns exist.
  __device__ __forceinline__ void take(Chunk<kDType>& chunk, int k, int left) {
    const int part = k % kChunks;
    if (part == 0) state_.arrived[slot_].wait(phase_);
    chunk.take(room_of(slot_) + static_cast<unsigned>(part * kChunkBytes), left);
    if (part == kChunks - 1 || left <= kChunk) free_slot();
  }

  __device__ __forceinline__ void pass() {
    if (copies()) free_slot();
  }

 private:
  __device__ __forceinline__ bool copies() const { return kCopies && slots_ > 0; }
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
      if (!is_copied(tile)) return state_.arrived[slot].arrive();
      z = tile.z;
      left = tile.columns;
    }
    state_.z = z + kSlotBytes;
    state_.left = left - kChunks * kChunk;
    state_.arrived[slot].copy(
        room_of(slot), z,
        static_cast<unsigned>(min(left, kChunks * kChunk) * static_cast<int>(size_of(kDType))));
  }

  unsigned room_;  // address of the thread's first vector of slot 0; one thread's is the slot's
  State& state_;
  int slots_;
  int slot_ = 0;
  unsigned phase_ = 0;
};

}  // namespace logsum::cuda
