// SPDX-License-Identifier: Apache-2.0
// The row visit where rows are many. Persistent CTAs; each takes a contiguous span of all rows'
// tiles, its warps take tiles of the span by ticket, and the warp that brings a row's last tile
// finishes the row. What a record holds doesn't depend on who made it, so neither do the bits.
// How warps come by tiles and logits: span_tiles.cuh.
//
// Records of the rows in progress stay in a ring in shared memory. Only rows that cross from one
// CTA's span into the next go through global memory, where a fence and an atomic cost a warp more
// than a microsecond.
#pragma once

#include "cuda/device/row.cuh"
#include "cuda/device/span_tiles.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// The CTA whose span has this tile, counted over all rows.
__device__ __forceinline__ unsigned block_of(const SpanSpace& space, std::uint64_t tile) {
  const std::uint64_t total = static_cast<std::uint64_t>(space.rows) * space.tiles;
  const std::uint64_t share = total / gridDim.x, rest = total % gridDim.x;
  const std::uint64_t longer = rest * (share + 1);  // tiles of the CTAs that have one more
  return static_cast<unsigned>(tile < longer ? tile / (share + 1) : rest + (tile - longer) / share);
}

// A row that CTAs share, whose tiles in this CTA's span, from `begin` to `end`, are all in
// `records`: true for the last of the CTAs, which then has all of them.
template <int kRecords>
__device__ __noinline__ bool collect(const SpanSpace& space, std::int64_t row, unsigned begin,
                                     unsigned end, TileRecord* records) {
  const unsigned first_block = block_of(space, static_cast<std::uint64_t>(row) * space.tiles);
  TileRecord* const shared =
      space.records + (space.slot_is_row ? row : first_block) * space.row_records;
  if (!space.is_long) {
#pragma unroll
    for (int r = 0; r < kRecords; ++r)
      for (unsigned i = begin + warp_lane(); i < end; i += kWarp)
        store_record(shared + r * space.tiles + i, records[r * space.tiles + i]);
  }
  __threadfence();
  __syncwarp();
  unsigned before = 0;
  if (warp_lane() == 0) {
    unsigned* const counter = space.counters + first_block;
    before = atomicAdd(counter, end - begin);
    if (before + end - begin == space.tiles) *counter = 0;
  }
  if (__shfl_sync(~0u, before, 0) + end - begin != space.tiles) return false;
  __threadfence();
  if (!space.is_long)
    for (unsigned i = warp_lane(); i < space.row_records; i += kWarp)
      records[i] = load_record(shared + i);
  __syncwarp();
  return true;
}

template <class Kind>
__device__ __forceinline__ void put_records(const SpanSpace& space, TileRecord* row, unsigned tile,
                                            const TileRecords& records) {
  store_record(row + tile, records.at_temperature);
  if constexpr (Kind::kRaw) store_record(row + space.tiles + tile, records.raw);
}

// Static shared memory.
template <class Op>
struct SpanShared {
  using Kind = typename Op::Kind;
  using Tiles = SpanTiles<Op>;
  static constexpr int kWarps = span_threads(Kind::kDType) / kWarp;

  typename Tiles::State tiles[kWarps];
  typename Op::Row rows[kWarps];
  SpanState state;
};

// Op: what is measured and how a row is finished; see tile_of_row.cuh.
template <class Op>
__device__ __forceinline__ void visit_spans(const typename Op::Call& call,
                                            const TileTemperature& scalar, const SpanSpace& space) {
  using Kind = typename Op::Kind;
  extern __shared__ __align__(128) std::byte dynamic[];
  __shared__ Shared<SpanShared<Op>> room;
  static_assert(sizeof(SpanShared<Op>) <= kSpanStaticShared);
  SpanShared<Op>& shared = *room;
  SpanState& state = shared.state;
  auto* const ring = reinterpret_cast<TileRecord*>(
      dynamic + (kCopiesTiles<Kind> && space.copies ? span_room_bytes(Kind::kDType) : 0));
  state.begin(space);
  __syncthreads();
  const unsigned warp = __shfl_sync(~0u, threadIdx.x / kWarp, 0);
  const auto finish = [&](std::int64_t row, TileRecord* records) {
    shared.rows[warp].prepare_places(call, row);
    shared.rows[warp].prepare(call, row);
    __syncwarp();
    Op::finish(call, row, records, shared.rows[warp]);
  };
  const SpanDraw<Op> draw{call, space, state};
  typename SpanShared<Op>::Tiles tiles(draw, dynamic, space.copies, warp, shared.tiles[warp]);
  for (;;) {
    tiles.begin_tile(draw);
    if (tiles.at() >= state.count) break;
    const TilePlace place(space, state, tiles.at());
    const auto [row, tile] = place;
    const TileRecords records = tiles.measure(draw, place, scalar);

    const unsigned slot = row & (space.ring_rows - 1);
    TileRecord* const row_records =
        space.is_long ? space.records + (state.first_row + row) * space.row_records
                      : ring + slot * space.row_records;
    const unsigned begin = state.first_here(row);
    const unsigned end = state.end_here(row, space.tiles);
    unsigned before = 0;
    if (warp_lane() == 0) {
      // Held by an earlier row until that is finished, which waits for nothing.
      while (load_acquire(&state.holder[slot]) != row) __nanosleep(32);
      put_records<Kind>(space, row_records, tile, records);
      __threadfence_block();
      before = take_ticket(&state.arrived[slot]);
    }
    if (__shfl_sync(~0u, before, 0) + 1 == end - begin) {
      __threadfence_block();
      __syncwarp();
      if (end - begin == space.tiles ||
          collect<Kind::kRecords>(space, state.first_row + row, begin, end, row_records))
        finish(state.first_row + row, row_records);
      __syncwarp();
      if (warp_lane() == 0) {
        state.arrived[slot] = 0;
        store_release(&state.holder[slot], row + space.ring_rows);
      }
    }
  }
  tiles.end();
}

}  // namespace logsum::cuda
