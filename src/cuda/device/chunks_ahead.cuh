// SPDX-License-Identifier: Apache-2.0
// A warp's next chunks, on their way into shared memory by bulk copies: 4 KB, asked for as soon as
// the chunk before is in registers. More would all arrive together, late, and leave the memory idle
// meanwhile (64 rows of 151936 f32: 31.6 us with two chunks, 29.1 with one); less doesn't keep it
// busy.
#pragma once

#include "cuda/device/barriers.cuh"
#include "cuda/device/chunk.cuh"

namespace logsum::cuda {

template <DType kDType>
class ChunksAhead {
 public:
  static constexpr int kChunkBytes = kChunk * static_cast<int>(size_of(kDType));
  static constexpr int kDepth = 4096 / kChunkBytes;
  static constexpr int kBytes = kDepth * kChunkBytes;
  struct Barriers {
    ByteBarrier of[kDepth];
  };

  __device__ __forceinline__ ChunksAhead(std::byte* room, Barriers& barriers)
      : room_(room), barriers_(barriers) {
    if (warp_lane() == 0) {
#pragma unroll
      for (int i = 0; i < kDepth; ++i) barriers.of[i].begin(1);
      ByteBarrier::fence_barriers();
    }
    __syncwarp();
  }

  // For a round: of the chunk at z `left` columns exist; nothing is asked for one that isn't whole.
  __device__ __forceinline__ void ask(int round, const std::byte* z, int left) {
    if (warp_lane() == 0 && left >= kChunk)
      barriers_.of[round % kDepth].copy(room_ + round % kDepth * kChunkBytes, z, kChunkBytes);
  }

  // Waits for the chunk that was asked for.
  __device__ __forceinline__ void take(int round, Chunk<kDType>& chunk) {
    barriers_.of[round % kDepth].wait(round / kDepth % 2);
    chunk.take(room_ + round % kDepth * kChunkBytes, kChunk);
    __syncwarp();  // the room is free
  }

 private:
  std::byte* room_;
  Barriers& barriers_;
};

}  // namespace logsum::cuda
