// SPDX-License-Identifier: Apache-2.0
// How a launch over spans uses its memory.
#pragma once

#include "core/workspace.hpp"
#include "cuda/schedule.hpp"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// `records`: per tile, 1 or 2. A CTA knows more rows in progress than there are at once: each of
// its warps has at most three tiles, and rows of one tile are all in progress.
static_assert(kMostRingRows >= 3 * span_threads(DType::bf16) / 32);
inline SpanSpace span_space(std::byte* memory, std::int64_t rows, std::int64_t tiles, int records,
                            int blocks) {
  const std::int64_t row_records = tiles * records;
  SpanSpace space = {};
  space.counters = reinterpret_cast<unsigned*>(memory);
  space.records = reinterpret_cast<TileRecord*>(memory + kSpanCounterBytes);
  space.rows = rows;
  space.tiles = static_cast<unsigned>(tiles);
  space.row_records = static_cast<unsigned>(row_records);
  space.ring_rows = row_records <= 16 ? kMostRingRows : kMostRingRows / 4;
  space.is_long = row_records > kMostRingRecords;
  space.slot_is_row = span_slots(rows, row_records) == rows;
  // The inverse is too large by up to tiles/2^32 of itself: the quotient is right for numbers below
  // 2^32/tiles, whatever the remainder. A span's last is below its tiles and a row's together.
  const std::int64_t end = rows * tiles / blocks + tiles;
  if (tiles > 1 && !space.is_long && end <= (std::int64_t{1} << 32) / tiles)
    space.inverse_tiles = static_cast<unsigned>((1ull << 32) / space.tiles + 1);
  return space;
}

// Bytes of shared memory, without what is static: of chunks on their way, and of records.
inline int span_shared_bytes(const SpanSpace& space, DType dtype) {
  const int ring = space.is_long ? 0
                                 : static_cast<int>(space.ring_rows * space.row_records *
                                                    static_cast<unsigned>(sizeof(TileRecord)));
  return (space.copies ? span_room_bytes(dtype) : 0) + ring;
}

// Where there is room for it; code that was compiled for a GPU with room and runs on one without
// makes do without vectors.
inline void choose_copies(const DeviceLimits& limits, DType dtype, SpanSpace& space) {
  space.copies = copies_tiles(limits.capability, dtype);
  if (span_shared_bytes(space, dtype) > limits.shared_per_block - kSpanStaticShared)
    space.copies = false;
}

}  // namespace logsum::cuda
