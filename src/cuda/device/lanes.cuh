// SPDX-License-Identifier: Apache-2.0
// A chunk that one warp has weighed and another will join to its tile, in shared memory: where rows
// are few, four warps share a tile. What a thread stores is its own to load: all warps deal the
// lanes to their threads alike, so the accesses have no bank conflicts.
#pragma once

#include "cuda/device/measure.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// The largest logits of a tile's chunks: their references, for a second look.
struct alignas(8) ChunkMaxes {
  float max[kTileChunks];
};

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

  // Weighs a chunk of which `columns` exist. Lanes are 0 where it isn't near.
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
    float s[kPositions] = {}, e[kPositions] = {};
    if (reference.is_near)
      cuda::weigh<typename Kind::Exp, kMoment>(chunk, extremes, reference.near, columns,
                                               [&](int i, float sum, float moment) {
                                                 s[i] = sum;
                                                 e[i] = moment;
                                               });
    put(first_sum, s);
    if (kMoment) put(first_sum + 1, e);
  }
};

// Between the four warps of a group, whose rounds have two sets of lanes in turn: none waits for
// the one that joins a tile, unless that is two rounds behind. Before sm_90 all wait for each
// other.
class LaneSets {
 public:
  static constexpr int kBarriers = 4;

  // By as many threads.
  __device__ __forceinline__ void begin(int thread) {
    barriers_[thread].begin(thread < 2 ? kTileChunks * kWarp : kWarp);
  }

  __device__ __forceinline__ void wait_for_set(int round, int group) {
    if (round < 2) return;
    if (kHasBulkCopies)
      joined(round).wait((round / 2 - 1) % 2);
    else
      sync_threads(1 + kMostClusterGroups + group, kTileChunks * kWarp);
  }
  __device__ __forceinline__ void weighed_mine(int round, int group) {
    if (kHasBulkCopies)
      weighed(round).arrive();
    else
      sync_threads(1 + group, kTileChunks * kWarp);
  }
  __device__ __forceinline__ void wait_for_all(int round) {
    if (kHasBulkCopies) weighed(round).wait(round / 2 % 2);
  }
  __device__ __forceinline__ void free_set(int round) {
    if (kHasBulkCopies) joined(round).arrive();
  }

 private:
  __device__ SharedBarrier& weighed(int round) { return barriers_[round % 2]; }
  __device__ SharedBarrier& joined(int round) { return barriers_[2 + round % 2]; }

  SharedBarrier barriers_[kBarriers];
};

}  // namespace logsum::cuda
