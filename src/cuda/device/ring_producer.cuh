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
#pragma unroll 1
    for (int k = (end - begin) * Memory::kTileSlots; k > 0; --k) {
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
#pragma unroll
      for (int input = 0; input < Op::kInputs; ++input) from[input] += Memory::kInputBytes;
      left -= Memory::kInputBytes;
      slot = slot.ahead(1, space.slots);
    }
  }
}

}  // namespace logsum::cuda
