// SPDX-License-Identifier: Apache-2.0
// What the CTAs of a cluster have in shared memory, and how a tile's records come to the first of
// them.
#pragma once

#include "cuda/device/chunks_ahead.cuh"
#include "cuda/device/lanes.cuh"
#include "cuda/device/tile_of_row.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

template <class Op>
struct ClusterShared {
  using Kind = typename Op::Kind;

  // Of the row, in the first CTA.
  TileRecord table[Kind::kRecords * kMostClusterTiles];
  ChunkMaxes maxes[HasAssistants<Op> ? kMostClusterTiles : 1];
  ByteBarrier arrived;
  // Of this CTA.
  typename ChunksAhead<Kind::kDType>::Barriers chunks[kMostMeasuring];
  LaneSets sets[kMostClusterGroups];
  typename Op::Row row;

  static constexpr int kRecordWords = sizeof(TileRecord) / 8;
  // What is sent of a tile.
  static constexpr int kSentWords =
      Kind::kRecords * kRecordWords +
      (HasAssistants<Op> ? static_cast<int>(sizeof(ChunkMaxes)) / 8 : 0);

  // By one warp, for all.
  __device__ __forceinline__ void begin(const ClusterSpace& space, bool is_first) {
    const int lane = warp_lane();
    if (lane < kMostClusterGroups * LaneSets::kBarriers)
      sets[lane / LaneSets::kBarriers].begin(lane % LaneSets::kBarriers);
    if (lane == 0 && is_first) arrived.begin(1);
    ByteBarrier::fence_barriers();
    if (lane == 0 && is_first)
      arrived.arrive_expecting(static_cast<unsigned>(space.tiles * kSentWords * 8));
  }

  // To the first CTA, a word per thread.
  __device__ __forceinline__ void push(const TileRecords& records, const ChunkMaxes& maximums,
                                       int tile, const ClusterSpace& space) {
    unsigned long long words[3 * kRecordWords];
    put_words(words, records.at_temperature);
    if constexpr (Kind::kRaw) put_words(words + kRecordWords, records.raw);
    if constexpr (HasAssistants<Op>) put_words(words + Kind::kRecords * kRecordWords, maximums);
    const int lane = warp_lane();
    unsigned long long mine = words[0];
#pragma unroll
    for (int i = 1; i < kSentWords; ++i) mine = lane == i ? words[i] : mine;
    auto* to = reinterpret_cast<unsigned long long*>(table + tile) + lane;
    if (lane >= Kind::kRecords * kRecordWords)
      to = reinterpret_cast<unsigned long long*>(maxes + tile) + lane -
           Kind::kRecords * kRecordWords;
    else if (lane >= kRecordWords)
      to = reinterpret_cast<unsigned long long*>(table + space.tiles + tile) + lane - kRecordWords;
    if (lane >= kSentWords) return;
    if (space.log2_blocks > 0)
      arrived.push(to, mine, 0);
    else
      *to = mine;
  }

 private:
  template <class T>
  __device__ __forceinline__ static void put_words(unsigned long long* words, const T& value) {
    struct Words {
      unsigned long long of[sizeof(T) / 8];
    };
    const auto from = std::bit_cast<Words>(value);
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(T)) / 8; ++i) words[i] = from.of[i];
  }
};

}  // namespace logsum::cuda
