// SPDX-License-Identifier: Apache-2.0
// How a launch over spans uses its memory.
#pragma once

#include "core/workspace.hpp"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// `records`: per tile, 1 or 2. A CTA knows 16 rows in progress, never more than a few of which are;
// rows of one tile are all in progress at once, one per warp.
inline SpanSpace span_space(std::byte* memory, std::int64_t rows, std::int64_t tiles, int records,
                            int blocks) {
  const std::int64_t row_records = tiles * records;
  SpanSpace space = {};
  space.counters = reinterpret_cast<unsigned*>(memory);
  space.records = reinterpret_cast<TileRecord*>(memory + kSpanCounterBytes);
  space.rows = rows;
  space.tiles = static_cast<unsigned>(tiles);
  space.row_records = static_cast<unsigned>(row_records);
  space.ring_rows = row_records <= 16 ? 64 : 16;
  space.is_long = row_records > kMostRingRecords;
  space.slot_is_row = span_slots(rows, row_records) == rows;
  // The inverse is too large by up to tiles/2^32 of itself: the quotient is right for numbers below
  // 2^32/tiles, whatever the remainder. A span's last is below its tiles and a row's together.
  const std::int64_t end = rows * tiles / blocks + tiles;
  if (tiles > 1 && !space.is_long && end <= (std::int64_t{1} << 32) / tiles)
    space.inverse_tiles = static_cast<unsigned>((1ull << 32) / space.tiles + 1);
  return space;
}

// Bytes of records in shared memory.
inline std::size_t shared_ring_bytes(const SpanSpace& space) {
  return space.is_long ? 0 : std::size_t{space.ring_rows} * space.row_records * sizeof(TileRecord);
}

}  // namespace logsum::cuda
