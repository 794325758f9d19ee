// SPDX-License-Identifier: Apache-2.0
// What a measuring warp of a cluster does: its chunks of the row's tiles, and one tile in four of
// its group joined and sent.
#pragma once

#include "cuda/device/cluster_shared.cuh"

namespace logsum::cuda {

// What a warp of a cluster needs to know of its place.
struct ClusterPlace {
  std::int64_t row;
  int block;       // in the cluster
  int begin, end;  // its tiles
  int warp, groups;

  __device__ __forceinline__ explicit ClusterPlace(const ClusterSpace& space)
      : row(blockIdx.y), block(static_cast<int>(blockIdx.x)) {
    begin = space.tiles * block >> space.log2_blocks;
    end = space.tiles * (block + 1) >> space.log2_blocks;
    warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x / kWarp), 0);
    groups = static_cast<int>(blockDim.x / (kTileChunks * kWarp));
  }
  __device__ int measuring_warps() const { return kTileChunks * groups; }
  __device__ bool is_leader() const { return warp == measuring_warps(); }
};

// A warp's chunks of the cluster's tiles: first, first + groups, and so on.
template <class Op>
class ClusterMeasure {
 public:
  using Kind = typename Op::Kind;

  // Asks for the first chunks.
  __device__ __forceinline__ ClusterMeasure(const typename Op::Call& call,
                                            const ClusterPlace& place, ClusterShared<Op>& shared,
                                            std::byte* dynamic)
      : call_(call),
        shared_(shared),
        group_(place.warp / kTileChunks),
        quarter_(place.warp % kTileChunks),
        groups_(place.groups),
        end_(place.end),
        lanes_(reinterpret_cast<ChunkLanes<Kind>*>(dynamic) + group_ * kTileChunks),
        ahead_(dynamic + 2 * place.measuring_warps() * sizeof(ChunkLanes<Kind>) +
                   place.warp * Ahead::kBytes,
               shared.chunks[place.warp]) {
    // Parameters take their time to arrive: what needs nothing else comes before the wait.
    if (call.looks_up_rows()) wait_for_kernel_before();
    const std::int64_t source = call.logits_row(place.row);
    z_ = source < 0 ? nullptr : row_address(call.logits, source);
    first_ = place.begin + group_;
    is_bulk_ = kHasBulkCopies && z_ != nullptr && reinterpret_cast<std::uintptr_t>(z_) % 16 == 0 &&
               call.logits.columns % Chunk<Kind::kDType>::kPerVector == 0;
    wait_for_kernel_before();
#pragma unroll
    for (int i = 0; i < Ahead::kDepth; ++i) ask(i);
    let_next_kernel_start();
  }

  // Pushes the records of the row's tiles.
  __device__ __forceinline__ void run(const TileTemperature& temperature,
                                      const ClusterSpace& space) {
    if (is_bulk_)
      run_as<true>(temperature, space);
    else if (z_ != nullptr)
      run_odd(*this, temperature, space);
    else  // of no row: what is waited for must come
      for (int tile = first_; tile < end_; tile += groups_)
        if (quarter_ == 0) shared_.push({}, {}, tile, space);
  }

 private:
  using Ahead = ChunksAhead<Kind::kDType>;
  static constexpr int kChunkBytes = Ahead::kChunkBytes;
  static constexpr int kTileBytes = kTileChunks * kChunkBytes;

  // Rows that bulk copies don't suit. Not inlined: it calls functions, and what lives beside a call
  // in a loop lives in memory.
  __device__ __noinline__ static void run_odd(ClusterMeasure measure, TileTemperature temperature,
                                              ClusterSpace space) {
    measure.run_as<false>(temperature, space);
  }

  __device__ __forceinline__ int tile_of(int round) const { return first_ + round * groups_; }
  __device__ __forceinline__ void ask(int round) {
    const int tile = tile_of(round);
    if (is_bulk_ && tile < end_) ahead_.ask(round, chunk_at(tile), left_of(tile));
  }

  // A tile's chunks are joined a round later: who joins is late for none of the group's chunks.
  template <bool kBulk>
  __device__ __forceinline__ void run_as(const TileTemperature& temperature,
                                         const ClusterSpace& space) {
    LaneSets& sets = shared_.sets[group_];
#pragma unroll 1
    for (int round = 0;; ++round) {
      const int tile = tile_of(round);
      const bool is_live = tile < end_;
      if (is_live) {
        const int left = left_of(tile);
        Chunk<Kind::kDType> chunk;
        if (!kBulk) {
          load_chunk(chunk, chunk_at(tile), left, tile == 0 && quarter_ == 0);
        } else if (left >= kChunk) {
          ahead_.take(round, chunk);
          ask(round + Ahead::kDepth);
        } else {
          chunk.load(chunk_at(tile) + warp_lane() * 16, left);
        }
        sets.wait_for_set(round, group_);
        weigh_chunk<Kind>(lanes_of(round)[quarter_], chunk, left, temperature);
        sets.weighed_mine(round, group_);
      }
      const int before = round - 1;
      if (before >= 0 && quarter_ == before % kTileChunks) {
        sets.wait_for_all(before);
        push(lanes_of(before), tile_of(before), temperature, space);
        sets.free_set(before);
      }
      if (!is_live) break;
    }
  }

  __device__ __forceinline__ ChunkLanes<Kind>* lanes_of(int round) const {
    return lanes_ + round % 2 * (kTileChunks * groups_);
  }

  // Joins the tile's chunks.
  __device__ __forceinline__ void push(const ChunkLanes<Kind>* lanes, int tile,
                                       const TileTemperature& temperature,
                                       const ClusterSpace& space) {
    TileMeasure<Kind> measure(temperature);
    ChunkMaxes maxes;
#pragma unroll
    for (int k = 0; k < kTileChunks; ++k) {
      measure.add_weighed(lanes[k], k);
      maxes.max[k] = lanes[k].max;
    }
    shared_.push(measure.records_or_marks(), maxes, tile, space);
  }

  // Columns of the row from this warp's chunk of a tile on.
  __device__ __forceinline__ int left_of(int tile) const {
    return static_cast<int>(
        min(call_.logits.columns - std::int64_t{tile} * kTile - quarter_ * kChunk,
            std::int64_t{kChunk}));
  }
  __device__ __forceinline__ const std::byte* chunk_at(int tile) const {
    return z_ + std::int64_t{tile} * kTileBytes + quarter_ * kChunkBytes;
  }

  const typename Op::Call& call_;
  ClusterShared<Op>& shared_;
  int group_, quarter_, groups_;
  int first_, end_;
  ChunkLanes<Kind>* lanes_;
  Ahead ahead_;
  const std::byte* z_;
  bool is_bulk_;
};

}  // namespace logsum::cuda
