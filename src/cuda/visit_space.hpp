// SPDX-License-Identifier: Apache-2.0
// What a launch is told beside its plan: plain numbers that host and device share.
#pragma once

#include "core/host_device.hpp"
#include "logsum/dtype.hpp"
#include "logsum/measure.hpp"

namespace logsum::cuda {

inline constexpr unsigned kMostRingRows = 64;

// Threads of a CTA that has an SM to itself: 96 registers each for 2-byte logits, 128 for f32,
// whose chunk fills twice as many.
constexpr int span_threads(DType dtype) { return dtype == DType::f32 ? 512 : 640; }

// Chunks that each of its warps has on their way into shared memory (device/span_tiles.cuh), and
// what they take there, of all warps.
inline constexpr unsigned kChunksAhead = 2;
constexpr int span_room_bytes(DType dtype) {
  return span_threads(dtype) / 32 * static_cast<int>(kChunksAhead * kChunk * size_of(dtype));
}
// On GPUs with room for them; from 12.0 on there are 99 KB. Of 16-bit logits it is no gain: what
// waits less executes more (bench/HISTORY.md).
constexpr bool copies_tiles(int capability, DType dtype) {
  return capability >= 90 && capability < 120 && dtype == DType::f32;
}
// Beside them and the ring of records, at most: visit_spans checks each operation's.
inline constexpr int kSpanStaticShared = 16 * 1024;

// Spans: where the records and counters are (visit_spans.cuh).
struct SpanSpace {
  unsigned* counters;   // one per CTA, 0 before and after every launch
  TileRecord* records;  // of rows that CTAs share, by `slot`; of all rows where they are long
  std::int64_t rows;
  unsigned tiles;          // of a row
  unsigned row_records;    // of a row: its tiles', once or twice
  unsigned ring_rows;      // rows in progress that a CTA knows: a power of two
  unsigned inverse_tiles;  // ⌊2^32/tiles⌋ + 1, or 0
  bool is_long;            // rows too long to be kept in shared memory
  bool slot_is_row;        // of `records`; else the first CTA that has tiles of the row
  bool copies;             // of tiles into shared memory, before the ring
};

// Clusters: how a row's tiles are shared (visit_clusters.cuh).
struct ClusterSpace {
  int tiles;        // of a row
  int log2_blocks;  // of the number of CTAs that share it
};

// Rings: rows that are read once and written (visit_rings.cuh). Clusters are as many as there is
// room for at once; the i-th has the rows i, i + clusters, and so on.
struct RingSpace {
  std::int64_t rows;
  int columns;
  int tiles;       // of a row
  int records;     // of a row: its tiles', and what an operation adds
  int blocks;      // CTAs that share it
  int slots;       // of a CTA's ring
  int known_rows;  // rows that may be in one of a cluster's rings at once
  int tables;      // of records, of a CTA
  // Of a CTA's shared memory: where arrays begin, and how much they take (RingCost::lay).
  int rows_at, tables_at, records_at, sums_at, notes_at, chunks_at;
  int table_bytes;  // of a table's records
  int bytes;
};

// Bytes of shared memory that a CTA's ring takes.
struct RingCost {
  int fixed;
  int slot_barriers;  // for each slot
  int slot_notes;
  int slot_bytes;
  int known_row;          // for each of known_rows
  int table;              // for each of its tables, beside
  int record;             // for each record there, and
  int tile_sums;          // for each of a row's tiles
  int tile_records;       // of a tile
  int extra_records;      // of a row, beside its tiles'
  int joiners;            // warps that join rows
  bool joins_everywhere;  // in all CTAs of a cluster
  int tile_slots;         // how many slots a tile takes
  int least_slots;        // that its groups of warps can measure a tile each
  int ahead;              // bytes beside a row's slice that a ring wants

  bool operator==(const RingCost&) const = default;

  static constexpr int kLine = 128;  // which chunks begin at

  // By the host: a thread that made the offsets of the numbers above would keep them in registers,
  // or in local memory.
  void lay(RingSpace& space) const {
    space.rows_at = fixed + space.slots * slot_barriers;
    space.tables_at = space.rows_at + space.known_rows * known_row;
    space.records_at = space.tables_at + space.tables * table;
    space.table_bytes = space.records * record;
    space.sums_at = space.records_at + space.tables * space.table_bytes;
    space.notes_at = space.sums_at + space.tables * space.tiles * tile_sums;
    space.chunks_at = (space.notes_at + space.slots * slot_notes + kLine - 1) / kLine * kLine;
    space.bytes = space.chunks_at + space.slots * slot_bytes;
  }
};

// That keeps loads and stores going; and what a cluster of two gets by with. Larger ones leave a
// tenth of the processors out, which hurts where the arithmetic takes long.
inline constexpr int kRingAhead = 96 * 1024;
inline constexpr int kBusyRingAhead = 52 * 1024;
// A loss takes 4 us from a row's last record to what its emission needs, for which the ring has to
// hold more: 4096 x 151936 bf16 by clusters of eight 704 us, of four 727. (16384 x 32000 by single
// CTAs, which have 147 KB beside a row, 684, by two 772.)
inline constexpr int kLossRingAhead = 142 * 1024;

inline constexpr int kMostRingBlocks = 8;

// Rows of more tiles (393216 columns) don't fit the table of a cluster.
inline constexpr int kMostClusterTiles = 96;
// Groups of four warps that measure, beside one warp that leads. With 20 warps and more beside it a
// thread would have 80 registers instead of 96, and spill.
inline constexpr int kMostClusterGroups = 4;
inline constexpr int kMostMeasuring = 4 * kMostClusterGroups;
constexpr int cluster_threads(int groups) { return 32 * (4 * groups + 1); }

}  // namespace logsum::cuda
