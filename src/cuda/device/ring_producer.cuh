// SPDX-License-Identifier: Apache-2.0
// The producer of a ring: one warp that asks for chunks as slots become empty, and says what is
// known of a row before its first.
#pragma once

#include "cuda/device/chunk.cuh"
#include "cuda/device/ring_rows.cuh"

namespace logsum::cuda {

// The end of a row's last slot: of its `left` bytes `bytes` come as a copy, which leaves out those
// that aren't 16. What is beyond is −∞, up to the end of a row of lanes.
template <DType kDType>
__device__ __noinline__ void pad(std::byte* to, const std::byte* from, int bytes, int left) {
  constexpr int kBytes = size_of(kDType), kRowBytes = kLanes * kBytes;
  const std::uint32_t lowest = Chunk<kDType>::kLowest;
  const int place = bytes + warp_lane() * kBytes;
  const int end = (left + kRowBytes - 1) / kRowBytes * kRowBytes;
  if (place < bytes + 16 && place < end) {
    if constexpr (kBytes == 2)
      *reinterpret_cast<unsigned short*>(to + place) =
          place < left ? *reinterpret_cast<const unsigned short*>(from + place)
                       : static_cast<unsigned short>(lowest);
    else
      *reinterpret_cast<std::uint32_t*>(to + place) =
          place < left ? *reinterpret_cast<const std::uint32_t*>(from + place) : lowest;
  }
  for (int i = bytes + 16 + warp_lane() * 16; i < end; i += kWarp * 16)
    *reinterpret_cast<uint4*>(to + i) = {lowest, lowest, lowest, lowest};
  fence_copies();  // that come there later
  __syncwarp();
}

// Whether what a slot will be asked for is brought into L2 before: of f32 alone, whose tile is two
// slots (policy_loss, 2048 x 151936: 737 us, 709). With bf16 what the producer has to do for it
// takes as long as it gains (4096 x 151936: 697, 695; 16384 x 32000: 612, 625; 2048 x 262144: 619,
// 604).
template <class Op>
inline constexpr bool kPrefetches = is_loss(Op::kUse) && Op::kDType == DType::f32;

// What comes some slots after the one that is being asked for: of the row, then of the next.
template <class Memory>
class SlotsAhead {
 public:
  // At a row's first slot, of `slots` that have `left` bytes; of the next row's there are
  // `left_of_next`, 0 if there is no such row.
  __device__ __forceinline__ void begin_row(const std::byte* from, int slots, int left,
                                            const std::byte* next, int left_of_next) {
    const int ahead = min(kAhead, slots);
    from_ = from + ahead * Memory::kInputBytes;
    left_ = left - ahead * Memory::kInputBytes;
    of_row_ = slots - ahead;
    next_ = next;
    left_of_next_ = left_of_next;
  }
  // By one thread, at each slot.
  __device__ __forceinline__ void prefetch(L2Policy policy) {
    if (of_row_-- == 0) {
      from_ = next_;
      left_ = left_of_next_;
    }
    const int bytes = max(min(left_, Memory::kInputBytes) & ~15, 0);
    if (bytes > 0) prefetch_into_l2(from_, bytes, policy);
    from_ += Memory::kInputBytes;
    left_ -= Memory::kInputBytes;
  }

 private:
  static constexpr int kAhead = 4;  // 2: 718 us, 8: 713

  const std::byte *from_, *next_;
  int left_, left_of_next_, of_row_;
};

// All of the warp goes round, so that addresses are the warp's: the copy wants them so.
template <class Op>
__device__ __forceinline__ void produce(const typename Op::Call& call,
                                        const TileTemperature& scalar, const RingSpace& space,
                                        const RingPlace& place, const RingMemory<Op>& memory) {
  constexpr int kBytes = size_of(Op::kDType), kRowBytes = kLanes * kBytes;
  using Memory = RingMemory<Op>;
  const L2Policy policy = L2Policy::evict_last();
  const bool is_one = warp_lane() == 0;
  if (place.rows == 0) return;
  RingIndex slot, known;
  RowsOfRing<Op> rows(call, scalar, place);
  [[maybe_unused]] SlotsAhead<Memory> further;
#pragma unroll 1
  for (int i = 0; i < place.rows; ++i) {
    rows.take(i);
    const int begin = place.begin(i, space), end = place.end(i, space);
    const std::byte* from[Op::kInputs];
#pragma unroll
    for (int k = 0; k < Op::kInputs; ++k)
      from[k] = rows.input(k) + std::int64_t{begin} * (kTile * kBytes);
    memory.slots[slot.at].emptied.wait(slot.phase ^ 1);
    auto& row = memory.rows[known.at];
    if (is_one) memory.expect_row(row, space);
    rows.begin(row, is_one);
    known = known.ahead(1, space.known_rows);
    int left = (space.columns - begin * kTile) * kBytes;
    const int slots = (end - begin) * Memory::kTileSlots;
    if constexpr (kPrefetches<Op>) {
      static_assert(Op::kInputs == 1);
      const int next_begin = place.begin(i + 1, space);
      further.begin_row(from[0], slots, left,
                        rows.next_input(0) + std::int64_t{next_begin} * (kTile * kBytes),
                        i + 1 < place.rows ? (space.columns - next_begin * kTile) * kBytes : 0);
    }
#pragma unroll 1
    for (int k = slots; k > 0; --k) {
      RingSlot& barriers = memory.slots[slot.at];
      std::byte* const to = memory.chunk(slot.at, 0);
      const int bytes = max(min(left, Memory::kInputBytes) & ~15, 0);
      barriers.emptied.wait(slot.phase ^ 1);
      if (left % kRowBytes != 0 && left > 0 && left < Memory::kInputBytes)
#pragma unroll
        for (int input = 0; input < Op::kInputs; ++input)
          pad<Op::kDType>(to + input * Memory::kInputBytes, from[input], bytes, left);
      if (is_one) {
        barriers.full.arrive_expecting(Op::kInputs * bytes);
        if (bytes > 0) {
#pragma unroll
          for (int input = 0; input < Op::kInputs; ++input)
            barriers.full.copy_expected(to + input * Memory::kInputBytes, from[input], bytes,
                                        policy);
        }
        if constexpr (kPrefetches<Op>) further.prefetch(policy);
      } else {
        barriers.full.arrive();
      }
#pragma unroll
      for (int input = 0; input < Op::kInputs; ++input) from[input] += Memory::kInputBytes;
      left -= Memory::kInputBytes;
      slot = slot.ahead(1, space.slots);
    }
  }
}

}  // namespace logsum::cuda
