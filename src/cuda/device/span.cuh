// SPDX-License-Identifier: Apache-2.0
// A CTA's span of all rows' tiles: which tiles it has, and how its warps draw them.
#pragma once

#include "cuda/device/tile_of_row.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// A CTA's work, in shared memory so that it takes no registers from the sums: its span, and its
// rows in progress. Rows are counted from the first that the span touches.
struct SpanState {
  std::int64_t first_row;
  unsigned first_tile;              // of the first row
  unsigned count;                   // tiles in the span
  unsigned next;                    // the next ticket
  unsigned arrived[kMostRingRows];  // per slot of the ring: tiles of the row that holds it
  unsigned holder[kMostRingRows];   // that row

  __device__ void begin(const SpanSpace& space) {
    if (threadIdx.x < space.ring_rows) {
      arrived[threadIdx.x] = 0;
      holder[threadIdx.x] = threadIdx.x;
    }
    if (threadIdx.x != 0) return;
    const std::uint64_t total = static_cast<std::uint64_t>(space.rows) * space.tiles;
    const std::uint64_t share = total / gridDim.x, rest = total % gridDim.x;
    const std::uint64_t first = share * blockIdx.x + min(std::uint64_t{blockIdx.x}, rest);
    count = static_cast<unsigned>(share + (blockIdx.x < rest));
    first_row = static_cast<std::int64_t>(first / space.tiles);
    first_tile = static_cast<unsigned>(first % space.tiles);
    next = blockDim.x / kWarp;
  }

  // A row's tiles that lie in the span, of at most kMostSpanTiles.
  __device__ unsigned first_here(unsigned row) const { return row == 0 ? first_tile : 0; }
  __device__ unsigned end_here(unsigned row, unsigned tiles) const {
    return min(first_tile + count - row * tiles, tiles);
  }
};

// The row, within the span, of its tile `at` (first_tile counted in).
__device__ __forceinline__ unsigned row_of(const SpanSpace& space, unsigned at) {
  if (space.inverse_tiles != 0) return __umulhi(at, space.inverse_tiles);
  return space.tiles == 1 ? at : at / space.tiles;
}

// A tile's place: its row, within the span, and its number in the row.
struct TilePlace {
  unsigned row, tile;

  __device__ __forceinline__ TilePlace(const SpanSpace& space, const SpanState& state, unsigned at)
      : row(row_of(space, state.first_tile + at)),
        tile(state.first_tile + at - row * space.tiles) {}
};

// Which tiles a CTA's warps draw, and where they lie. A warp's first ticket is its own number.
template <class Op>
struct SpanDraw {
  const typename Op::Call& call;
  const SpanSpace& space;
  SpanState& state;

  __device__ __forceinline__ unsigned ticket() const { return take_ticket(&state.next); }

  // The tile of this number in the span, of so many columns; null if there is none, or no row.
  __device__ __forceinline__ const std::byte* find(unsigned at, int& columns) const {
    columns = 0;
    if (at >= state.count) return nullptr;
    const TilePlace place(space, state, at);
    const std::int64_t source = call.logits_row(state.first_row + place.row);
    columns = columns_of_tile(call.logits, place.tile);
    if (source < 0) return nullptr;
    return tile_address<typename Op::Kind>(call.logits, source, place.tile);
  }
};

}  // namespace logsum::cuda
