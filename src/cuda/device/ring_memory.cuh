// SPDX-License-Identifier: Apache-2.0
// The shared memory of a CTA of the ring visit, and where its warps are in it.
//
// The CTA's part of a row is a slice of whole tiles; its tiles of all its rows follow each other
// through a ring of slots. A slot holds one to four chunks (1024 columns) of each input, 8 KB in
// all: one warp can't ask for less at a time and keep up with the memory. It is
//   full     from the end of the copies into it,
//   emptied  from the end of its emission.
// A row's records come from all CTAs of the cluster to a table in each of them, or, where joins are
// long, in one: the CTAs join the rows in turns then, each row once. They have
//   arrived  once all are there; what emission needs to know is made of them, comes, where another
//            CTA has made it, from there to every CTA's RingRow and is
//   published in it. A RingRow has
//   begun    when the row's first slot is empty. It needs no protection: by then the ring has let
//            go of the row that lies known_rows before. Nor does a table: the rows that it had
//            before lie as far back as other CTAs may be (fill_ring).
// An operation may look at a row once more in between, when all of it is measured
// (ring_middle.cuh): what that needs to know is published as its `middle`, and what chunks add
// arrives at the table.
#pragma once

#include <type_traits>

#include "core/host_device.hpp"
#include "core/measure.hpp"
#include "cuda/device/barriers.cuh"
#include "cuda/device/ring_middle.cuh"
#include "cuda/device/warp.cuh"
#include "cuda/ring_cost.hpp"
#include "cuda/ring_places.hpp"

namespace logsum::cuda {

struct RingSlot {
  ByteBarrier full, emptied;
};

// What a group's last warp asks the helper: to look at a tile again.
struct RingQuestion {
  int why;  // the operation's; kNoMore: the group will ask for nothing any more
  int record;
  int row, table;  // as a cursor has them
  RingIndex known;

  static constexpr int kNoMore = -1;
};
struct alignas(16) RingRequest {
  ByteBarrier asked, answered;
  unsigned phase;  // of the next
  RingQuestion question;
};

// What the warps of a group share while they measure a tile, and the barriers between them: a
// phase each per tile.
template <class Room>
struct alignas(16) RingRoom {
  ByteBarrier links[kTileChunks];
  RingRequest request;
  Room room;
};

// Where a row's inputs begin.
template <class Op>
struct RingInputs {
  const std::byte* at[Op::kInputs];
};

// What is known of a row before it is measured.
template <class Op>
struct alignas(16) RingGiven {
  std::byte* out;    // its output
  std::int64_t row;  // its number
  typename Op::Ahead ahead;
};

// A row of the cluster's that is in the ring, or was.
template <class Op>
struct alignas(16) RingRow : RingMiddleRow<Op> {
  ByteBarrier begun, published;
  RingGiven<Op> given;  // before its first chunk is asked for
  alignas(8) typename Op::Row known;
};

// Records of a row that the CTA joins.
template <class Op>
struct RingTable : RingMiddleTable<Op> {
  ByteBarrier arrived;
};

// What a joiner sends from.
template <class Op, bool kHas = kHasMiddle<Op>>
struct RingStage {
  alignas(8) typename Op::Row known;
};
template <class Op>
struct RingStage<Op, true> {
  alignas(8) typename Op::Row known;
  alignas(8) typename Op::Middle middle;
};

template <class Op>
struct RingMemory {
  using Record = typename Op::Record;
  using Row = RingRow<Op>;
  using Table = RingTable<Op>;
  using Stage = RingStage<Op>;
  using Sums = RingSums<Op>;
  using GroupRoom = RingRoom<typename Op::Room>;
  using Note = typename Op::Note;

  static constexpr int kGroups = ring_groups(Op::kUse, Op::kDType);
  static constexpr int kThreads = ring_threads(Op::kUse, Op::kDType);
  static constexpr int kJoiners = ring_joiners(Op::kUse);
  static constexpr bool kJoinsEverywhere = ring_joins_everywhere(Op::kUse);
  static constexpr int kChunkBytes = kChunk * static_cast<int>(size_of(Op::kDType));
  static constexpr int kSlotChunks = kRingSlotBytes / (Op::kInputs * kChunkBytes);
  static_assert(kSlotChunks >= 1 && kTileChunks % kSlotChunks == 0);
  static constexpr int kTileSlots = kTileChunks / kSlotChunks;
  static constexpr int kNotes = std::is_empty_v<Note> ? 0 : kSlotChunks;  // of a slot
  static_assert(std::is_empty_v<Note> || sizeof(Note) % 8 == 0);
  static constexpr int kInputBytes = kSlotChunks * kChunkBytes;
  static constexpr int kSlotBytes = Op::kInputs * kInputBytes;
  static constexpr int kWords = sizeof(Record) / sizeof(unsigned long long);
  static constexpr int kSumWords = std::is_empty_v<Sums> ? 0 : sizeof(Sums) / 8;
  static_assert(sizeof(GroupRoom) % 16 == 0 && sizeof(RingSlot) == 16);

  static constexpr RingCost kCost = ring_cost(Op::kUse, Op::kDType, Op::kByHardware);
  static_assert(kCost ==
                RingCost{.fixed = kGroups * int(sizeof(GroupRoom)) + kJoiners * int(sizeof(Stage)),
                         .slot_barriers = int(sizeof(RingSlot)),
                         .slot_notes = kNotes * int(sizeof(Note)),
                         .slot_bytes = kSlotBytes,
                         .known_row = int(sizeof(Row)),
                         .table = int(sizeof(Table)),
                         .record = int(sizeof(Record)),
                         .tile_sums = kSumWords * 8 * kTileChunks,
                         .tile_records = kCost.tile_records,
                         .extra_records = kCost.extra_records,
                         .joiners = kJoiners,
                         .joins_everywhere = kJoinsEverywhere,
                         .tile_slots = kTileSlots,
                         .least_slots = kGroups * kTileSlots,
                         .ahead = kCost.ahead});
  // What RingCost::lay's offsets are multiples of.
  static_assert(kCost.fixed % 16 == 0 && sizeof(Row) % 16 == 0 && alignof(Table) <= 16 &&
                sizeof(Table) % 8 == 0 && sizeof(Record) % 8 == 0 && alignof(Note) <= 8);

  GroupRoom* rooms;  // of each group of warps
  Stage* stages;     // of each joiner
  RingSlot* slots;
  Row* rows;
  Table* tables;
  unsigned long long* records;
  unsigned long long* sums;
  Note* notes;
  std::byte* chunks;

  __device__ __forceinline__ RingMemory(std::byte* memory, const RingSpace& space)
      : rooms(reinterpret_cast<GroupRoom*>(memory)),
        stages(reinterpret_cast<Stage*>(rooms + kGroups)),
        slots(reinterpret_cast<RingSlot*>(stages + kJoiners)),
        rows(reinterpret_cast<Row*>(memory + space.rows_at)),
        tables(reinterpret_cast<Table*>(memory + space.tables_at)),
        records(reinterpret_cast<unsigned long long*>(memory + space.records_at)),
        sums(reinterpret_cast<unsigned long long*>(memory + space.sums_at)),
        notes(reinterpret_cast<Note*>(memory + space.notes_at)),
        chunks(memory + space.chunks_at) {}

  // Of numbers that stay in registers: of a kernel's parameters the compiler loads each from
  // constant memory again wherever it is used (cross_entropy, 4096 x 151936 bf16: 675 us, 665).
  __device__ __forceinline__ static RingMemory in_registers(std::byte* memory, RingSpace space) {
    asm volatile(""
                 : "+r"(space.rows_at), "+r"(space.tables_at), "+r"(space.records_at),
                   "+r"(space.sums_at), "+r"(space.notes_at), "+r"(space.chunks_at));
    return {memory, space};
  }

  // The same, of which nothing is kept in registers from before.
  __device__ __forceinline__ RingMemory anew(const RingSpace& space) const {
    int zero;
    asm volatile("mov.b32 %0, 0;" : "=r"(zero));
    return {reinterpret_cast<std::byte*>(rooms) + zero, space};
  }

  // By all threads, before the barrier that all of the cluster's meet.
  __device__ __forceinline__ void begin(const RingSpace& space) const {
    if (threadIdx.x < kGroups * kTileChunks)
      rooms[threadIdx.x / kTileChunks].links[threadIdx.x % kTileChunks].begin(
          kWarp * Op::Measure::links(static_cast<int>(threadIdx.x % kTileChunks)));
    if (threadIdx.x < kGroups) {
      RingRequest& request = rooms[threadIdx.x].request;
      request.asked.begin(kWarp);
      request.answered.begin(kWarp);
      request.phase = 0;
    }
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < space.slots; i += kThreads) {
      slots[i].full.begin(kWarp);
      slots[i].emptied.begin(kSlotChunks * kWarp);
    }
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < space.known_rows; i += kThreads) {
      rows[i].begun.begin(kWarp);
      rows[i].published.begin(is_sent(space) ? 1 : kWarp);
      if constexpr (kHasMiddle<Op>) rows[i].measured.begin(space.blocks > 1 ? 1 : kWarp);
    }
    if (threadIdx.x < space.tables) {
      tables[threadIdx.x].arrived.begin(space.blocks > 1 ? 1 : space.records * kWords);
      if constexpr (kHasMiddle<Op>)
        tables[threadIdx.x].summed.begin(space.blocks > 1 ? 1 : sum_words(space));
    }
    ByteBarrier::fence_barriers();
  }

  // By one thread: the records of the next row that has table i.
  __device__ __forceinline__ void expect_records(int i, const RingSpace& space) const {
    if (space.blocks > 1) tables[i].arrived.arrive_expecting(space.table_bytes);
  }
  __device__ __forceinline__ void expect_sums(int i, const RingSpace& space) const {
    if constexpr (kHasMiddle<Op>)
      if (space.blocks > 1) tables[i].summed.arrive_expecting(sum_words(space) * 8);
  }
  // And what the CTA is to know of a row.
  __device__ __forceinline__ void expect_row(Row& row, const RingSpace& space) const {
    if (!is_sent(space)) return;
    row.published.arrive_expecting(sizeof(row.known));
    if constexpr (kHasMiddle<Op>) row.measured.arrive_expecting(sizeof(row.middle));
  }

  __device__ __forceinline__ unsigned long long* words_of_table(int i,
                                                                const RingSpace& space) const {
    return records + i * space.records * kWords;
  }
  __device__ __forceinline__ Record* table(int i, const RingSpace& space) const {
    return reinterpret_cast<Record*>(words_of_table(i, space));
  }
  // What chunks of the row that has table i have added, in the order of its columns.
  __device__ __forceinline__ static int sum_words(const RingSpace& space) {
    return space.tiles * kTileChunks * kSumWords;
  }
  __device__ __forceinline__ unsigned long long* sums_of_table(int i,
                                                               const RingSpace& space) const {
    return sums + i * sum_words(space);
  }
  // Of a tile's `chunk`, which lies in `slot`, the first input's.
  __device__ __forceinline__ std::byte* chunk(int slot, int chunk) const {
    return chunks + slot * kSlotBytes + chunk % kSlotChunks * kChunkBytes;
  }
  // What a warp has noted of a tile's `chunk`, for itself.
  __device__ __forceinline__ Note& note(int slot, int chunk) const {
    return notes[slot * kNotes + chunk % kSlotChunks];
  }
  // A warp asks, all of it.
  __device__ __forceinline__ bool has_slot(const RingIndex& i) const {
    return __all_sync(~0u, slots[i.at].full.has_ended(i.phase));
  }
  // Of its turn before this.
  __device__ __forceinline__ bool is_emptied(const RingIndex& i) const {
    return __all_sync(~0u, slots[i.at].emptied.has_ended(i.phase ^ 1));
  }
  // So many from `first` on, a lane each: one question, not four (4096 x 151936 bf16, softmax's
  // gradient: 998 us, 985; f32: 2020, 2004).
  __device__ __forceinline__ bool are_emptied(const RingIndex& first, int count,
                                              const RingSpace& space) const {
    return is_emptied(first.ahead(min(warp_lane(), count - 1), space.slots));
  }
  // What is known of a row, from the CTA that has joined it.
  __device__ __forceinline__ static bool is_sent(const RingSpace& space) {
    return !kJoinsEverywhere && space.blocks > 1;
  }
  // `is_new`: the warp hasn't seen it yet.
  __device__ __forceinline__ bool has_row(const RingIndex& i, bool is_new,
                                          const RingSpace& space) const {
    return has_come(rows[i.at].published, i.phase, is_new, space);
  }
  __device__ __forceinline__ bool has_middle(const RingIndex& i, bool is_new,
                                             const RingSpace& space) const {
    return has_come(rows[i.at].measured, i.phase, is_new, space);
  }

 private:
  __device__ __forceinline__ static bool has_come(ByteBarrier& barrier, unsigned phase, bool is_new,
                                                  const RingSpace& space) {
    if (!__all_sync(~0u, barrier.has_ended(phase))) return false;
    if (is_new && is_sent(space)) barrier.wait_for_cluster(phase);
    return true;
  }
};

// What an Op has that visits all rows in their order, and knows no more of them than that.
struct RingsInOrder {
  static constexpr bool kIsPrepared = false, kJoinsAnew = false;

  __device__ __forceinline__ static std::int64_t rows(const auto&, const RingSpace& space) {
    return space.rows;
  }
};

}  // namespace logsum::cuda
