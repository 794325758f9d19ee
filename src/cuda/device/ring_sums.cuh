// SPDX-License-Identifier: Apache-2.0
// Σ over tiles of two tensors in a ring, in f64, by four warps. A lane of the tile (its columns
// equal mod 256) is a chain of sums, so each warp takes 64 lanes of all chunks, two per thread, and
// the warps' lanes are folded: 128 columns apart, 64, and so on (sum_of_tile, backward.cuh).
// Columns that don't exist are −∞, which doesn't count.
#pragma once

#include "cuda/device/backward.cuh"
#include "cuda/device/visit_rings.cuh"

namespace logsum::cuda {

struct TwoSums {
  double a = 0, b = 0;
};
struct TwoValues {
  float a, b;
};

template <DType kDType>
__device__ __forceinline__ TwoValues load_two(const std::byte* p) {
  if constexpr (kDType == DType::f32) {
    const float2 two = *reinterpret_cast<const float2*>(p);
    return {two.x, two.y};
  }
  float two[2];
  unpack(*reinterpret_cast<const std::uint32_t*>(p), kDType, two);
  return {two[0], two[1]};
}

// Halves of a group's lanes.
struct alignas(16) SumsRoom {
  TwoSums low[kWarp], high[kWarp];
};

template <class Op, class Terms>
class MeasureSums {
 public:
  static constexpr bool kLooksAgain = false, kByInput = false;

  __device__ static constexpr int links(int i) { return i == kAll ? 2 : 1; }

  __device__ __forceinline__ void begin_row(const typename Op::Ahead&) {
    static_assert(ring_awaits_all(Op::kUse) && !ring_measures_again(Op::kUse));
  }
  __device__ static constexpr int runs(int) { return 1; }

  template <class Push>
  __device__ __forceinline__ typename Op::Note run(const RingTile<Op>& tile, const Push& push) {
    const int quarter = tile.quarter, lane = quarter * 2 * kWarp + 2 * warp_lane();
    TwoSums sums;
    const auto add_row = [&](const std::byte* p) {
      const Terms add;
      const TwoValues x = load_two<Op::kDType>(p);
      const TwoValues y = load_two<Op::kDType>(p + RingMemory<Op>::kInputBytes);
      sums.a = add(x.a, y.a, sums.a);
      sums.b = add(x.b, y.b, sums.b);
    };
#pragma unroll 1
    for (int k = 0; k < kTileChunks; k += kSlotChunks) {
      const int left = tile.left(k, kSlotChunks);
      const std::byte* const p = tile.arrived(k) + lane * kBytes;
      if (left == kSlotChunks * kChunk) {
#pragma unroll
        for (int i = 0; i < kSlotChunks * kChunkRows; ++i) add_row(p + i * kLanes * kBytes);
      } else {  // whole rows of lanes, by the producer's padding
#pragma unroll 1
        for (int i = 0; i < left; i += kLanes) add_row(p + i * kBytes);
      }
    }
    fold(sums, tile, push);
    return {};
  }

 private:
  static constexpr int kBytes = size_of(Op::kDType);
  static constexpr int kSlotChunks = RingMemory<Op>::kSlotChunks;
  // Barriers of a group: its second warp has the fourth's lanes, its first has all, and has read
  // them.
  enum { kHigh, kAll, kFree };

  template <class Push>
  __device__ __forceinline__ void fold(TwoSums sums, const RingTile<Op>& tile, const Push& push) {
    SumsRoom& room = tile.room();
    const int lane = warp_lane(), quarter = tile.quarter;
    const auto add = [&](const TwoSums& other) {
      sums.a = __dadd_rn(sums.a, other.a);
      sums.b = __dadd_rn(sums.b, other.b);
    };
    if (quarter >= 2) {
      tile.link(kFree).wait(phase_ ^ 1);
      (quarter == 2 ? room.low : room.high)[lane] = sums;
      tile.link(quarter == 2 ? kAll : kHigh).arrive();
    } else if (quarter == 1) {
      tile.link(kHigh).wait(phase_);
      add(room.high[lane]);
      room.high[lane] = sums;
      tile.link(kAll).arrive();
    } else {
      tile.link(kAll).wait(phase_);
      add(room.low[lane]);
      add(room.high[lane]);
      __syncwarp();
      room.low[lane] = sums;
      __syncwarp();
      const auto* const lanes = reinterpret_cast<const double*>(room.low);
      double two[2] = {lanes[lane], lanes[kWarp + lane]};
      tile.link(kFree).arrive();
      push(fold_lanes(two));
    }
    phase_ ^= 1;
  }

  unsigned phase_ = 0;  // of the links
};

}  // namespace logsum::cuda
