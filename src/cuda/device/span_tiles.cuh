// SPDX-License-Identifier: Apache-2.0
// How a warp comes by the tiles of its CTA's span and by their logits. Either it draws a tile when
// it needs one and loads its chunks into registers; or it draws one ahead and has 8 KB on their way
// into shared memory by bulk copies, across the ends of tiles and rows: while it joins a row's
// records and writes its results, what it weighs next arrives.
//
// Both ways have
//   begin_tile(draw)              before each tile
//   at()                          its number in the span, or beyond: then end() is the last call
//   measure(draw, place, scalar)  its records
// of a SpanDraw (span.cuh).
#pragma once

#include "cuda/device/barriers.cuh"
#include "cuda/device/span.cuh"

namespace logsum::cuda {

template <class Op>
class TilesByTicket {
 public:
  struct State {};

  __device__ __forceinline__ TilesByTicket(const SpanDraw<Op>&, std::byte*, bool, unsigned warp,
                                           State&)
      : ticket_(warp) {}

  __device__ __forceinline__ void begin_tile(const SpanDraw<Op>& draw) {
    at_ = __shfl_sync(~0u, ticket_, 0);
    if (warp_lane() == 0) ticket_ = draw.ticket();
  }
  __device__ __forceinline__ unsigned at() const { return at_; }
  __device__ __forceinline__ void end() {}

  __device__ __forceinline__ TileRecords measure(const SpanDraw<Op>& draw, const TilePlace& place,
                                                 const TileTemperature& scalar) {
    return measure_tile_of_row<Op>(draw.call, scalar, draw.state.first_row + place.row, place.tile);
  }

 private:
  unsigned at_;
  unsigned ticket_;  // one thread's: the tile after this
};

// Two chunks are on their way: who has emptied a chunk's room asks for the one after next, of this
// tile or of the next. Chunks that a tile doesn't have, or that can't be copied, arrive with no
// bytes, so that a chunk's room and its barrier's phase follow from its place in the tile.
template <class Op>
class TilesAhead {
 public:
  using Kind = typename Op::Kind;
  static constexpr int kElementBytes = size_of(Kind::kDType), kChunkBytes = kChunk * kElementBytes;
  static_assert(kTileChunks % (2 * kChunksAhead) == 0, "a tile begins with phase 0");

  // A tile that the warp has drawn.
  struct alignas(16) Drawn {
    const std::byte* z;
    unsigned at;  // in the span
    int bytes;    // that are copied: all of them, or none
  };

  // Of a warp, in shared memory, so that it takes no registers from the sums. One thread's, but
  // `current`.
  struct State {
    Drawn current, next;
    ByteBarrier arrived[kChunksAhead];
    unsigned ticket;  // of the tile after `next`
  };

  // `rooms`: of all warps. Unless `copies`, no tile is copied.
  __device__ __forceinline__ TilesAhead(const SpanDraw<Op>& draw, std::byte* rooms, bool copies,
                                        unsigned warp, State& state)
      : room_(shared_address(rooms) + warp * (kChunksAhead * kChunkBytes) + warp_lane() * 16),
        state_(state),
        copies_(copies) {
    asm volatile("" : "+r"(room_));  // or it would be computed anew for every chunk
    if (warp_lane() != 0) return;
    for (ByteBarrier& barrier : state.arrived) barrier.begin();
    ByteBarrier::fence_barriers();
    state.ticket = warp;
    draw_next(draw);
    for (unsigned i = 0; i < kChunksAhead; ++i) ask(state.next, i);
  }

  __device__ __forceinline__ void begin_tile(const SpanDraw<Op>& draw) {
    __syncwarp();
    if (warp_lane() == 0) {
      state_.current = state_.next;
      draw_next(draw);
    }
    __syncwarp();
  }
  __device__ __forceinline__ unsigned at() const { return state_.current.at; }
  __device__ __forceinline__ void end() {
    if (warp_lane() != 0) return;
    for (unsigned i = 0; i < kChunksAhead; ++i) wait(i);
  }

  __device__ __forceinline__ TileRecords measure(const SpanDraw<Op>& draw, const TilePlace& place,
                                                 const TileTemperature& scalar) {
    const int bytes = state_.current.bytes;
    if (bytes == 0) {
      end_tile();
      return measure_tile_of_row<Op, false>(draw.call, scalar, draw.state.first_row + place.row,
                                            place.tile);
    }
    return measure_vectors<Kind>(
        bytes / kElementBytes,
        temperature_of(draw.call.temperature, scalar, draw.state.first_row + place.row),
        [&](Chunk<Kind::kDType>& chunk, int k, int left) {
          take(chunk, static_cast<unsigned>(k), left);
        },
        [&] {
          end_tile();
          return tile_at<Kind>(draw.call.logits, state_.current.z,
                               state_.current.bytes / kElementBytes, place.tile);
        });
  }

 private:
  // Chunk k, from which on `left` columns exist.
  __device__ __forceinline__ void take(Chunk<Kind::kDType>& chunk, unsigned k, int left) {
    wait(k);
    chunk.take(room_ + k % kChunksAhead * kChunkBytes, left);
    // All threads have what was there: loads that have returned need no fence before a copy.
    __syncwarp();
    if (warp_lane() == 0) ask_after(k);
  }

  __device__ __forceinline__ void wait(unsigned k) {
    state_.arrived[k % kChunksAhead].wait(k / kChunksAhead % 2);
  }

  // The chunks that the tile doesn't have. They are there; a barrier at which nobody waits is an
  // error to compute-sanitizer.
  __device__ __forceinline__ void end_tile() {
    if (warp_lane() != 0) return;
    const auto bytes = static_cast<unsigned>(state_.current.bytes);
    for (unsigned k = (bytes + kChunkBytes - 1) / kChunkBytes; k < kTileChunks; ++k) {
      wait(k);
      ask_after(k);
    }
  }

  // The rest is by one thread.
  __device__ __forceinline__ void draw_next(const SpanDraw<Op>& draw) {
    const unsigned at = state_.ticket;
    int columns;
    const std::byte* const z = draw.find(at, columns);
    const bool is_copied =
        copies_ && z != nullptr && tile_at<Kind>(draw.call.logits, z, columns, 0).has_vectors();
    state_.next = {z, at, is_copied ? columns * kElementBytes : 0};
    state_.ticket = draw.ticket();
  }

  __device__ __forceinline__ void ask_after(unsigned k) {
    if (k + kChunksAhead < kTileChunks)
      ask(state_.current, k + kChunksAhead);
    else
      ask(state_.next, k + kChunksAhead - kTileChunks);
  }
  __device__ __forceinline__ void ask(const Drawn& tile, unsigned k) {
    const int at = static_cast<int>(k) * kChunkBytes, bytes = min(tile.bytes - at, kChunkBytes);
    const unsigned slot = k % kChunksAhead;
    if (bytes > 0)
      state_.arrived[slot].copy(room_ + slot * kChunkBytes, tile.z + at,
                                static_cast<unsigned>(bytes));
    else
      state_.arrived[slot].arrive();
  }

  unsigned room_;  // address of the thread's first vector; one thread's is the warp's room
  State& state_;
  bool copies_;
};

#ifdef __CUDA_ARCH__
template <class Kind>
inline constexpr bool kCopiesTiles = copies_tiles(__CUDA_ARCH__ / 10, Kind::kDType) &&
                                     !Kind::kStrided;
#else
template <class Kind>
inline constexpr bool kCopiesTiles = false;
#endif

template <class Op>
using SpanTiles =
    std::conditional_t<kCopiesTiles<typename Op::Kind>, TilesAhead<Op>, TilesByTicket<Op>>;

}  // namespace logsum::cuda
