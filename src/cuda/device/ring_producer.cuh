// SPDX-License-Identifier: Apache-2.0
// The producer of a ring: one warp that asks for chunks as slots become empty, and says what is
// known of a row before its first.
#pragma once

#include "cuda/device/chunk.cuh"
#include "cuda/device/ring_rows.cuh"
#include "cuda/slots_ahead.hpp"

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

// Whether what a slot will be asked for is brought into L2 before, where several CTAs share a row.
// us with it and without (2048 x 151936 f32; 4096 x 151936 and 2048 x 262144 bf16): f32 700, 737,
// with an entropy 789, 843; bf16 with an entropy 791, 816 and 678, 701; without 694, 691 and 598,
// 608, cross_entropy 670, 665 and 571, 575. One CTA per row (16384 x 32000 bf16): 651, 606.
template <class Op>
inline constexpr bool kPrefetches = is_loss(Op::kUse) && (Op::kDType == DType::f32 ||
                                                          Op::kUse == RingUse::loss_with_entropy);

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
  [[maybe_unused]] SlotsAhead<Memory::kInputBytes> further;
  [[maybe_unused]] const bool prefetches = is_one && space.blocks > 1;
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
      further.begin_row(from[0], slots, left, rows.next_input(0),
                        std::int64_t{next_begin} * (kTile * kBytes),
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
      } else {
        barriers.full.arrive();
      }
      if constexpr (kPrefetches<Op>) {
        const auto piece = further.take();
        if (prefetches && piece.bytes > 0) prefetch_into_l2(piece.from, piece.bytes, policy);
      }
#pragma unroll
      for (int input = 0; input < Op::kInputs; ++input) from[input] += Memory::kInputBytes;
      left -= Memory::kInputBytes;
      slot = slot.ahead(1, space.slots);
    }
  }
  // Not before: its CTAs would hold the SMs that clusters leave out all the while.
  if constexpr (is_loss(Op::kUse)) let_next_kernel_start();
}

}  // namespace logsum::cuda
