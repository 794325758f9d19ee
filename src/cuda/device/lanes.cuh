// SPDX-License-Identifier: Apache-2.0
// Four warps to a tile, a chunk each. Where rows are few a warp puts its weighed chunk into shared
// memory, and one of the four joins them. Where memory is scarce the tile's sums go round: each
// warp in turn adds the chunk that it holds in registers. What a thread stores is its own to load:
// all warps deal the lanes to their threads alike, so the accesses have no bank conflicts.
#pragma once

#include "cuda/device/barriers.cuh"
#include "cuda/device/measure.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// The largest logits of a tile's chunks: their references, for a second look.
struct alignas(8) ChunkMaxes {
  float max[kTileChunks];
};

// What a weighed chunk leaves.
template <class Kind>
inline constexpr int kLaneSums = 1 + Kind::kMoment + Kind::kRaw;  // S, E, S at T = 1

// In shared memory.
template <class Kind>
struct ChunkLanes {
  RoomForLanes lanes[kLaneSums<Kind>];
  float max;

  __device__ __forceinline__ void put(int sum, const float (&values)[kPositions]) {
    put_lanes(lanes[sum], values);
  }
  __device__ __forceinline__ void get(int sum, float (&values)[kPositions]) const {
    get_lanes(lanes[sum], values);
  }
};

// In registers.
template <class Kind>
struct HeldLanes {
  float lanes[kLaneSums<Kind>][kPositions];
  float max;

  __device__ __forceinline__ void put(int sum, const float (&values)[kPositions]) {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) lanes[sum][i] = values[i];
  }
  __device__ __forceinline__ void get(int sum, float (&values)[kPositions]) const {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) values[i] = lanes[sum][i];
  }
};

// Lanes are 0 where the chunk isn't near.
template <class Kind, bool kMoment, class Lanes>
__device__ __forceinline__ float weigh_at(Lanes& lanes, const Chunk<Kind::kDType>& chunk,
                                          const ChunkExtremes& extremes, int columns,
                                          const TileTemperature& temperature, int first_sum) {
  const ChunkReference reference(extremes.max, temperature);
  float s[kPositions] = {}, e[kPositions] = {};
  float lowest = kNegInf;
  if (reference.is_near)
    lowest = weigh<typename Kind::Exp, kMoment>(chunk, extremes, reference.near, columns,
                                                [&](int i, float sum, float moment) {
                                                  s[i] = sum;
                                                  e[i] = moment;
                                                });
  lanes.put(first_sum, s);
  if constexpr (kMoment) lanes.put(first_sum + 1, e);
  return lowest;
}

// The lanes of a chunk of which `columns` exist. Returns what no logit is below.
template <class Kind, class Lanes>
__device__ __forceinline__ float weigh_chunk(Lanes& lanes, const Chunk<Kind::kDType>& chunk,
                                             int columns, const TileTemperature& temperature) {
  const ChunkExtremes extremes(chunk);
  lanes.max = extremes.max;
  const float lowest =
      weigh_at<Kind, Kind::kMoment>(lanes, chunk, extremes, columns, temperature, 0);
  if constexpr (Kind::kRaw)
    weigh_at<Kind, false>(lanes, chunk, extremes, columns, TileMeasure<Kind>::raw_temperature(),
                          kLaneSums<Kind> - 1);
  return lowest;
}

// The sums of a tile on their way from one warp to the next.
template <class Kind>
struct TileRoom {
  static_assert(!Kind::kRaw);
  RoomForLanes lanes[kLaneSums<Kind>];
  typename TileSums<Kind::kDType, typename Kind::Exp, Kind::kMoment>::State state;
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
  __device__ ByteBarrier& weighed(int round) { return barriers_[round % 2]; }
  __device__ ByteBarrier& joined(int round) { return barriers_[2 + round % 2]; }

  ByteBarrier barriers_[kBarriers];
};

}  // namespace logsum::cuda
