// SPDX-License-Identifier: Apache-2.0
// A chunk that one warp has weighed and another will join to its tile, in shared memory: where rows
// are few, four warps share a tile. What a thread stores is its own to load: all warps deal the
// lanes to their threads alike, so the accesses have no bank conflicts.
#pragma once

#include "cuda/device/measure.cuh"

namespace logsum::cuda {

template <class Kind>
struct ChunkLanes {
  static constexpr int kSums = 1 + Kind::kMoment + Kind::kRaw;  // S, E, S at T = 1
  float4 lanes[kSums][kPositions / 4][kWarp];
  float max;

  __device__ __forceinline__ void put(int sum, const float (&values)[kPositions]) {
#pragma unroll
    for (int i = 0; i < kPositions / 4; ++i)
      lanes[sum][i][warp_lane()] =
          make_float4(values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]);
  }

  __device__ __forceinline__ void get(int sum, float (&values)[kPositions]) const {
#pragma unroll
    for (int i = 0; i < kPositions / 4; ++i) {
      const float4 v = lanes[sum][i][warp_lane()];
      values[4 * i] = v.x;
      values[4 * i + 1] = v.y;
      values[4 * i + 2] = v.z;
      values[4 * i + 3] = v.w;
    }
  }

  // The lanes of a chunk of which `columns` exist.
  __device__ __forceinline__ void weigh(const Chunk<Kind::kDType>& chunk, int columns,
                                        const TileTemperature& temperature) {
    const ChunkExtremes extremes(chunk);
    max = extremes.max;
    weigh_at<Kind::kMoment>(chunk, extremes, columns, temperature, 0);
    if constexpr (Kind::kRaw)
      weigh_at<false>(chunk, extremes, columns, TileMeasure<Kind>::raw_temperature(), kSums - 1);
  }

 private:
  template <bool kMoment>
  __device__ __forceinline__ void weigh_at(const Chunk<Kind::kDType>& chunk,
                                           const ChunkExtremes& extremes, int columns,
                                           const TileTemperature& temperature, int first_sum) {
    const ChunkReference reference(extremes.max, temperature);
    if (!reference.is_near) return;
    float s[kPositions], e[kPositions];
    cuda::weigh<typename Kind::Exp, kMoment>(chunk, extremes, reference.near, columns,
                                             [&](int i, float sum, float moment) {
                                               s[i] = sum;
                                               e[i] = moment;
                                             });
    put(first_sum, s);
    if (kMoment) put(first_sum + 1, e);
  }
};

}  // namespace logsum::cuda
