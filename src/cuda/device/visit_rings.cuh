// SPDX-License-Identifier: Apache-2.0
// The row visit of operations that write rows: inputs are read once. Persistent clusters of CTAs; a
// row per cluster, each CTA has a slice of it, which stays in a ring in shared memory between being
// measured and being emitted. Rows flow through: while one is emitted the next is measured and the
// one after it arrives. No barrier of all warps stands in the loop.
//
//   consumers  groups of four warps, a tile each; whatever comes first, a tile to be measured or
//              one whose row is known. They call nothing: what is live across a call finds no
//              register
//   producer   one warp: asks for chunks as slots become empty
//   joiner     one warp: joins the records of a row, publishes what emission needs to know
//   helper     one warp: looks at tiles again, where that is rare
//
// An Op (RingSoftmax in softmax.cu is one) has
//
//   Call, kDType, kInputs, kUse, kByHardware (ring_cost.hpp)
//   input(call, i), output(call)   RowsView, of kDType, that have_vectors (vectors.hpp)
//   rows(call, space)       how many rows are visited
//   Ahead    what of a row is known before it is measured
//   kIsPrepared             whether a kernel before has prepared that; if not,
//   Given    (call, row): what must be fetched of a row, one row early; Ahead (call, scalar, Given)
//            and if so,
//   prepared(call)          an array of RingPrepared (ring_rows.cuh)
//   Record   what is known of a measured tile: 8-byte words
//   Room     16-byte words of shared memory for a group of warps that measures
//   Note     what a warp keeps of its chunk of a tile until it emits it; may be empty
//   Row      what is known of a row once it is measured: 8-byte words
//   Joined   what else is, to who joins it
//            (an Op with a Middle, ring_middle.cuh, has another join, and a look at a row more)
//   Measure  of a warp:
//     begin_row(Ahead)
//     run(tile, push)   Note; one warp of the group calls push(record), or tile.ask(why)
//     links(i)          how many of the group's warps arrive at barrier i of its four, per tile
//     kLooksAgain       may ask
//   kJoinsAnew              (without a Middle) a joiner works out anew where the ring's arrays are,
//                           before and after a join: where a join needs all registers it would
//                           keep that in local memory, which an SM has little L1 for
//                           (cross_entropy: 711 us, 665; policy_loss, which doesn't: 697, 706)
//   look_again(call, row, record, why, Ahead)              Record, by the helper
//   join(call, row, Ahead, records, joined)                Row, by one warp of the cluster;
//                                                          `joined`: what it keeps to itself
//   write_results(call, row, Ahead, joined)                by the same, when the Row has been sent
//   emit(call, row, Note, chunk)                           by one warp; `row`: the RingRow
// and where a tile has several records, or a row extra ones (RingCost)
//   Measure::runs(tile)                                    how often a tile is measured: for its
//                                                          record, then for others
//   Measure::kByInput                                      for one of each input
// RingsInOrder (ring_memory.cuh) has what operations on all rows in their order have in common.
#pragma once

#include "cuda/device/ring_chunk.cuh"
#include "cuda/device/ring_producer.cuh"

namespace logsum::cuda {

// A tile of the ring, to one of the warps that measure it.
template <class Op>
struct RingTile {
  using Memory = RingMemory<Op>;

  const Memory& memory;
  const RingSpace& space;
  const RingCursor& at;
  int group, quarter;
  int record;     // what it is measured for: the tile's record, or an extra one
  int input = 0;  // what is measured

  __device__ __forceinline__ typename Op::Room& room() const { return memory.rooms[group].room; }
  __device__ __forceinline__ ByteBarrier& link(int i) const { return memory.rooms[group].links[i]; }
  // Columns of the row from its chunk on, in `chunks`.
  __device__ __forceinline__ int left(int chunk, int chunks = 1) const {
    return min(space.columns - at.tile * kTile - chunk * kChunk, chunks * kChunk);
  }
  // The warp's own chunk.
  __device__ __forceinline__ const std::byte* kept() const {
    return memory.chunk(at.slot.at, quarter) + input * Memory::kInputBytes;
  }
  // Any chunk: waits for it.
  __device__ __forceinline__ const std::byte* arrived(int chunk) const {
    const RingIndex i =
        at.first_slot(memory, space, quarter).ahead(chunk / Memory::kSlotChunks, space.slots);
    memory.slots[i.at].full.wait(i.phase);
    return memory.chunk(i.at, chunk) + input * Memory::kInputBytes;
  }
  // The helper for the tile's record, by the group's last warp. Rare.
  __device__ __forceinline__ void ask(int why) const {
    RingRequest& request = memory.rooms[group].request;
    const unsigned phase = request.phase;
    __syncwarp();
    request.answered.wait(phase ^ 1);  // the group's last
    if (warp_lane() == 0) {
      request.phase = phase ^ 1;
      request.question = {why, record, at.row, at.table, at.known};
    }
    __syncwarp();
    request.asked.arrive();
  }
};

// What a joiner knows, to a place of the same address in each CTA of the cluster. `stage`: its own.
template <class T>
__device__ __forceinline__ void send(const T& value, T& stage, T& to, ByteBarrier& barrier,
                                     int blocks) {
  constexpr int kWords = sizeof(T) / 8;
  static_assert(sizeof(T) % 8 == 0);
  if (blocks == 1) {
    if (warp_lane() == 0) to = value;
    __syncwarp();
    barrier.arrive();
    return;
  }
  if (warp_lane() == 0) stage = value;
  __syncwarp();
  const auto push = [&](int i) {
    barrier.push(reinterpret_cast<unsigned long long*>(&to) + i % kWords,
                 reinterpret_cast<const unsigned long long*>(&stage)[i % kWords], i / kWords);
  };
  if constexpr (kWords * kMostRingBlocks <= kWarp) {
    if (warp_lane() < kWords * blocks) push(warp_lane());
  } else {
    for (int i = warp_lane(); i < kWords * blocks; i += kWarp) push(i);
  }
  __syncwarp();
}

// Joins all rows, or those whose turn it is at this CTA; of these, its joiners in turns.
template <class Op>
__device__ __forceinline__ void join_rows(const typename Op::Call& call, const RingSpace& space,
                                          const RingPlace& place, const RingMemory<Op>& ring,
                                          int joiner) {
  using Memory = RingMemory<Op>;
#pragma unroll 1
  for (int i = place.first_to_join() + joiner * place.turns(); i < place.rows;
       i += Memory::kJoiners * place.turns()) {
    const Memory before = Op::kJoinsAnew ? ring.anew(space) : ring;
    const RingIndex known = RingIndex::of(i, space.known_rows);
    const RingIndex table = place.table(i, space);
    const auto wait_for_records = [&] {
      before.tables[table.at].arrived.wait_for_cluster(table.phase);
    };
    // What is given of a row comes first, as the row waits for this warp once its records are there
    // (softmax, 4096 x 151936 f32: 1234 us, 1225). Not if the CTA joins one of many rows: until the
    // records are there, the ring may lack more rows to this one than it has places for.
    if constexpr (!Memory::kJoinsEverywhere) wait_for_records();
    auto& begun = before.rows[known.at];
    begun.begun.wait(known.phase);
    // By value: once the row is sent, all may go on, and its place be another's.
    const typename Op::Ahead ahead = begun.given.ahead;
    if constexpr (Memory::kJoinsEverywhere) wait_for_records();
    typename Op::Joined joined;
    const typename Op::Row row =
        Op::join(call, begun.given.row, ahead, before.table(table.at, space), joined);
    const Memory memory = Op::kJoinsAnew ? ring.anew(space) : ring;
    auto& shared = memory.rows[known.at];
    const std::int64_t number = shared.given.row;
    if (warp_lane() == 0) memory.expect_records(table.at, space);
    send(row, memory.stages[joiner].known, shared.known, shared.published, place.turns());
    if (!Memory::kJoinsEverywhere || place.block == place.joining_block(i))
      Op::write_results(call, number, ahead, joined);
  }
}

// By one warp, to a place of the same address in a CTA of the cluster, or in all.
template <bool kToAll, class T>
__device__ __forceinline__ void push_words(const T& value, unsigned long long* to,
                                           ByteBarrier& barrier, int block, int blocks) {
  constexpr int kWords = sizeof(T) / 8;
  struct Words {
    unsigned long long word[kWords];
  };
  const auto words = std::bit_cast<Words>(value);
  static_assert(!kToAll || kWords * kMostRingBlocks <= kWarp);
  int lane = warp_lane();
  const bool pushes = lane < kWords * (kToAll ? blocks : 1);
  if (kToAll) {
    block = lane / kWords;
    lane %= kWords;
  }
  unsigned long long word = words.word[0];
#pragma unroll
  for (int k = 1; k < kWords; ++k)
    if (lane == k) word = words.word[k];
  if (pushes) {
    if (blocks > 1) {
      barrier.push(to + lane, word, block);
    } else {
      to[lane] = word;
      barrier.arrive();
    }
  }
  __syncwarp();
}

// A tile's record, by one warp, to the CTAs that join the row that `at` has, a RingCursor or a
// RingQuestion.
template <class Op>
__device__ __forceinline__ void push_record(const typename Op::Record& record,
                                            const RingSpace& space, const RingPlace& place,
                                            const auto& at, int index,
                                            const RingMemory<Op>& memory) {
  push_words<RingMemory<Op>::kJoinsEverywhere>(
      record, memory.words_of_table(at.table, space) + index * RingMemory<Op>::kWords,
      memory.tables[at.table].arrived, place.joining_block(at.row), space.blocks);
}

// The same where rows have a middle: of each row twice, whichever's turn has come.
template <class Op>
__device__ __forceinline__ void join_rows_twice(const typename Op::Call& call,
                                                const RingSpace& space, const RingPlace& place,
                                                const RingMemory<Op>& memory, int joiner) {
  using Memory = RingMemory<Op>;
  auto& stage = memory.stages[joiner];
  const int step = Memory::kJoiners * place.turns();
  int measured = place.first_to_join() + joiner * place.turns(), summed = measured;
  RingIndex records_at = place.table(measured, space), sums_at = records_at;
  const auto has_ended = [](ByteBarrier& barrier, unsigned phase) {
    if (!__all_sync(~0u, barrier.has_ended(phase))) return false;
    barrier.wait_for_cluster(phase);
    return true;
  };
#pragma unroll 1
  while (summed < place.rows) {
    if (measured < place.rows &&
        has_ended(memory.tables[records_at.at].arrived, records_at.phase)) {
      auto& table = memory.tables[records_at.at];
      const RingIndex known = RingIndex::of(measured, space.known_rows);
      auto& shared = memory.rows[known.at];
      shared.begun.wait(known.phase);  // it has, long ago
      const typename Op::Middle middle =
          Op::join_measures(call, shared.given.row, shared.given.ahead,
                            memory.table(records_at.at, space), table.kept);
      if (warp_lane() == 0) memory.expect_records(records_at.at, space);
      send(middle, stage.middle, shared.middle, shared.measured, space.blocks);
      measured += step;
      records_at = place.table(measured, space);
      continue;
    }
    if (summed < measured && has_ended(memory.tables[sums_at.at].summed, sums_at.phase)) {
      auto& shared = memory.rows[RingIndex::of(summed, space.known_rows).at];
      const typename Op::Ahead ahead = shared.given.ahead;
      const std::int64_t number = shared.given.row;
      const typename Op::Kept kept = memory.tables[sums_at.at].kept;
      auto* const sums =
          reinterpret_cast<typename Memory::Sums*>(memory.sums_of_table(sums_at.at, space));
      typename Op::Joined joined;
      const typename Op::Row row = Op::join(call, number, ahead, kept, sums, space, joined);
      __syncwarp();
      if (warp_lane() == 0) memory.expect_sums(sums_at.at, space);
      send(row, stage.known, shared.known, shared.published, space.blocks);
      Op::write_results(call, number, ahead, joined);
      summed += step;
      sums_at = place.table(summed, space);
      continue;
    }
    __nanosleep(32);
  }
}

// Looks at tiles again until no group will ask for it. Goes from group to group and sleeps: it
// mustn't take issue slots from them.
template <class Op>
__device__ __forceinline__ void help(const typename Op::Call& call, const RingSpace& space,
                                     const RingPlace& place, const RingMemory<Op>& memory) {
  constexpr int kGroups = RingMemory<Op>::kGroups;
  unsigned phases = 0;  // a bit per group
#pragma unroll 1
  for (int group = 0, asking = kGroups; asking > 0; group = group + 1 < kGroups ? group + 1 : 0) {
    RingRequest& request = memory.rooms[group].request;
    const unsigned phase = phases >> group & 1;
    if (!__all_sync(~0u, request.asked.has_ended(phase))) {
      __nanosleep(500);
      continue;
    }
    const RingQuestion asked = request.question;
    const auto& given = memory.rows[asked.known.at].given;
    const std::int64_t row = given.row;
    request.answered.arrive();
    phases ^= 1u << group;
    if (asked.why == RingQuestion::kNoMore)
      --asking;
    else
      push_record<Op>(Op::look_again(call, row, asked.record, asked.why, given.ahead), space, place,
                      asked, asked.record, memory);
  }
}

// What a chunk of a measured row adds.
template <class Op>
__device__ __forceinline__ void push_sums(const typename Op::Call& call, const RingSpace& space,
                                          const RingPlace& place, const RingCursor& at, int quarter,
                                          const RingMemory<Op>& memory) {
  using Memory = RingMemory<Op>;
  const auto& row = memory.rows[at.known.at];
  const RingChunk<Op> chunk(memory, space, row, at, quarter);
  typename Memory::Sums sums = {};
  if (chunk.columns > 0) sums = Op::add_up(call, row, chunk);
  const int index = at.tile * kTileChunks + quarter;
  push_words<false>(sums, memory.sums_of_table(at.table, space) + index * Memory::kSumWords,
                    memory.tables[at.table].summed, place.joining_block(at.row), space.blocks);
}

template <class Op>
__device__ __forceinline__ void consume(const typename Op::Call& call, const RingSpace& space,
                                        const RingPlace& place, const RingMemory<Op>& memory,
                                        int warp) {
  using Memory = RingMemory<Op>;
  const int group = warp / kTileChunks, quarter = warp % kTileChunks;
  RingCursor measured(memory, place, space, group, quarter), emitted = measured;
  [[maybe_unused]] RingCursor summed = measured;  // where the Op has a middle
  constexpr bool kAwaitsAll = ring_awaits_all(Op::kUse);
  int ahead = 0;                      // tiles that are measured, not emitted
  [[maybe_unused]] int unsummed = 0;  // of those
  typename Op::Measure measure;
#pragma unroll 1
  while (emitted.row < place.rows) {
    bool is_idle = true;
    RingIndex next = measured.slot;
    const bool may_measure = measured.row < place.rows;
    if constexpr (kAwaitsAll) next = measured.first_slot(memory, space, quarter);
    if (may_measure && measured.may_begin(memory, space, quarter, ring_needs_all(Op::kUse)) &&
        memory.has_slot(next)) {
      if (measured.is_new_row) {
        auto& row = memory.rows[measured.known.at];
        row.begun.wait(measured.known.phase);
        measure.begin_row(row.given.ahead);
      }
      typename Op::Note note;
      // One piece of code, whatever it is run for.
#pragma unroll 1
      for (int run = 0; run < measure.runs(measured.tile); ++run) {
        constexpr bool kByInput = Op::Measure::kByInput;
        const int index = run == 0   ? measured.tile
                          : kByInput ? space.tiles * run + measured.tile
                                     : space.tiles + run - 1;
        note = measure.run(
            RingTile<Op>{memory, space, measured, group, quarter, index, kByInput ? run : 0},
            [&](const typename Op::Record& record) {
              push_record<Op>(record, space, place, measured, index, memory);
            });
      }
      if (Memory::kNotes > 0) {
        if (warp_lane() == 0) memory.note(measured.slot.at, quarter) = note;
        __syncwarp();
      }
      measured.skip(memory, place, space, Memory::kGroups);
      ++ahead;
      ++unsummed;
      is_idle = false;
    }
    if constexpr (kHasMiddle<Op>) {
      if (unsummed > 0 && memory.has_middle(summed.known, summed.is_new_row, space)) {
        push_sums<Op>(call, space, place, summed, quarter, memory);
        summed.skip(memory, place, space, Memory::kGroups);
        --unsummed;
        is_idle = false;
      }
    }
    if (ahead > (kHasMiddle<Op> ? unsummed : 0) &&
        memory.has_row(emitted.known, emitted.is_new_row, space)) {
      const auto& row = memory.rows[emitted.known.at];
      const RingChunk<Op> chunk(memory, space, row, emitted, quarter);
      __builtin_assume(__isGlobal(chunk.out));
      if (chunk.columns > 0) Op::emit(call, row, memory.note(emitted.slot.at, quarter), chunk);
      memory.slots[emitted.slot.at].emptied.arrive();
      emitted.skip(memory, place, space, Memory::kGroups);
      --ahead;
      is_idle = false;
    }
    if (!is_idle) continue;
    if (ahead == 0)
      memory.slots[next.at].full.wait_briefly(next.phase);
    else if (!may_measure && (!kHasMiddle<Op> || unsummed == 0))
      memory.rows[emitted.known.at].published.wait_briefly(emitted.known.phase);
    else
      __nanosleep(32);
  }
  if (Op::Measure::kLooksAgain && quarter == kTileChunks - 1)
    RingTile<Op>{memory, space, measured, group, quarter, 0}.ask(RingQuestion::kNoMore);
}

template <class Op>
__device__ __forceinline__ void visit_rings(const typename Op::Call& call,
                                            const TileTemperature& scalar, const RingSpace& space) {
  constexpr int kConsumers = RingMemory<Op>::kGroups * kTileChunks;
  constexpr int kJoiners = RingMemory<Op>::kJoiners;
  extern __shared__ __align__(128) std::byte dynamic[];
  const auto memory = RingMemory<Op>::in_registers(dynamic, space);
  memory.begin(space);
  __syncthreads();
  if (threadIdx.x < space.tables) {
    memory.expect_records(static_cast<int>(threadIdx.x), space);
    memory.expect_sums(static_cast<int>(threadIdx.x), space);
  }
  cluster_arrive();
  cluster_wait();
  wait_for_kernel_before();
  const RingPlace place(space, Op::rows(call, space), static_cast<int>(blockIdx.x),
                        static_cast<int>(gridDim.x), RingMemory<Op>::kJoinsEverywhere);
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x / kWarp), 0);
  if (warp < kConsumers) {
    consume<Op>(call, space, place, memory, warp);
  } else if (warp < kConsumers + kJoiners) {
    if constexpr (kHasMiddle<Op>)
      join_rows_twice<Op>(call, space, place, memory, warp - kConsumers);
    else
      join_rows<Op>(call, space, place, memory, warp - kConsumers);
  } else if (warp == kConsumers + kJoiners) {
    produce<Op>(call, scalar, space, place, memory);
  } else {
    if constexpr (Op::Measure::kLooksAgain) help<Op>(call, space, place, memory);
  }
  __syncwarp();
  // Others may still push records here.
  cluster_arrive();
  cluster_wait();
}

}  // namespace logsum::cuda
