// SPDX-License-Identifier: Apache-2.0
// The row visit where rows are few: a cluster of CTAs per row, four warps per tile, a chunk each.
// Tiles' records meet in the shared memory of the cluster's first CTA, whose last warp, the leader,
// finishes the row: nothing goes through global memory, and there is nothing to reset.
//
// A warp has its next chunk on its way into shared memory (a bulk copy) while it weighs one in
// registers. A tile's chunks are joined by each of its four warps in turn. The
// leader measures nothing: it looks up what the row's end needs while the logits arrive.
#pragma once

#include "cuda/device/lanes.cuh"
#include "cuda/device/row.cuh"
#include "cuda/device/tile_of_row.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// A warp's next chunk, on its way into shared memory. One, asked for as soon as the last is in
// registers: more would all arrive together, late, and leave the memory idle meanwhile (64 rows of
// 151936 f32: 31.6 us with two, 29.1 with one).
template <DType kDType>
class ChunkAhead {
 public:
  static constexpr int kBytes = kChunk * static_cast<int>(size_of(kDType));

  __device__ __forceinline__ ChunkAhead(std::byte* room, ByteBarrier& barrier)
      : room_(room), barrier_(barrier) {
    if (warp_lane() == 0) {
      barrier.begin();
      ByteBarrier::fence_barriers();
    }
    __syncwarp();
  }

  // Of the chunk at z `left` columns exist; nothing is asked for one that isn't whole.
  __device__ __forceinline__ void ask(const std::byte* z, int left) {
    if (warp_lane() == 0 && left >= kChunk) barrier_.copy(room_, z, kBytes);
  }

  // Waits for the chunk that was asked for.
  __device__ __forceinline__ void take(Chunk<kDType>& chunk) {
    barrier_.wait(phase_);
    phase_ ^= 1;
    const auto* p = reinterpret_cast<const uint4*>(room_) + warp_lane();
#pragma unroll
    for (int i = 0; i < Chunk<kDType>::kVectors; ++i) chunk.v[i] = p[i * kWarp];
    __syncwarp();  // the room is free
  }

 private:
  std::byte* room_;
  ByteBarrier& barrier_;
  unsigned phase_ = 0;
};

template <class Op>
struct ClusterShared {
  using Kind = typename Op::Kind;
  // Records of the row, in the first CTA.
  TileRecord table[Kind::kRecords * kMostClusterTiles];
  ByteBarrier barriers[4 * kMostClusterGroups];
  typename Op::Row row;
};

template <class Kind>
__device__ __forceinline__ void push_record(TileRecord* table, const TileRecord& record) {
  const auto words = std::bit_cast<RecordWords>(record);
  const int lane = warp_lane();
  if (lane < 3)
    store_in_first_block(reinterpret_cast<unsigned long long*>(table) + lane,
                         lane == 0   ? words.word[0]
                         : lane == 1 ? words.word[1]
                                     : words.word[2]);
}

// What a warp of a cluster needs to know of its place.
struct ClusterPlace {
  std::int64_t row;
  int block;       // in the cluster
  int begin, end;  // its tiles
  int warp, measuring_warps;

  __device__ __forceinline__ explicit ClusterPlace(const ClusterSpace& space)
      : row(blockIdx.x / space.blocks), block(static_cast<int>(blockIdx.x % space.blocks)) {
    begin = space.tiles * block / space.blocks;
    end = space.tiles * (block + 1) / space.blocks;
    warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x / kWarp), 0);
    measuring_warps = static_cast<int>(blockDim.x / kWarp) - 1;
  }
  __device__ bool is_leader() const { return warp == measuring_warps; }
};

// A warp's chunks of the cluster's tiles: first, first + groups, and so on.
template <class Op>
class ClusterMeasure {
 public:
  using Kind = typename Op::Kind;

  // Asks for the first chunk.
  __device__ __forceinline__ ClusterMeasure(const typename Op::Call& call,
                                            const ClusterPlace& place, ClusterShared<Op>& shared,
                                            std::byte* dynamic)
      : call_(call),
        shared_(shared),
        group_(place.warp / kTileChunks),
        quarter_(place.warp % kTileChunks),
        groups_(place.measuring_warps / kTileChunks),
        end_(place.end),
        lanes_(reinterpret_cast<ChunkLanes<Kind>*>(dynamic) + group_ * kTileChunks),
        ahead_(
            dynamic + place.measuring_warps * sizeof(ChunkLanes<Kind>) + place.warp * kChunkBytes,
            shared.barriers[place.warp]) {
    // Parameters take their time to arrive: what needs nothing else comes before the wait.
    if (call.looks_up_rows()) wait_for_kernel_before();
    const std::int64_t source = call.logits_row(place.row);
    z_ = source < 0 ? nullptr : tile_address<Kind::kDType>(call.logits, source, 0);
    first_ = source < 0 ? end_ : place.begin + group_;
    is_bulk_ = kHasBulkCopies && reinterpret_cast<std::uintptr_t>(z_) % 16 == 0;
    wait_for_kernel_before();
    if (is_bulk_ && first_ < end_) ahead_.ask(chunk_at(first_), left_of(first_));
    let_next_kernel_start();
  }

  // Pushes the records of `tiles` of a row.
  __device__ __forceinline__ void run(const TileTemperature& temperature, int tiles) {
    int round = 0;
#pragma unroll 1
    for (int tile = first_; tile < end_; tile += groups_, ++round) {
      const int left = left_of(tile);
      Chunk<Kind::kDType> chunk;
      if (is_bulk_ && left >= kChunk) {
        ahead_.take(chunk);
        const int next = tile + groups_;
        if (next < end_) ahead_.ask(chunk_at(next), left_of(next));
      } else {
        load_chunk(chunk, chunk_at(tile), left, tile == 0 && quarter_ == 0);
      }
      if (round > 0) sync_threads(1 + 2 * group_, kTileChunks * kWarp);  // the lanes are joined
      lanes_[quarter_].weigh(chunk, left, temperature);
      sync_threads(2 + 2 * group_, kTileChunks * kWarp);
      if (quarter_ == round % kTileChunks) push(tile, temperature, tiles);
    }
  }

 private:
  static constexpr int kChunkBytes = ChunkAhead<Kind::kDType>::kBytes;
  static constexpr int kTileBytes = kTileChunks * kChunkBytes;

  // Joins the tile's chunks.
  __device__ __forceinline__ void push(int tile, const TileTemperature& temperature, int tiles) {
    TileMeasure<Kind> measure(temperature);
#pragma unroll
    for (int k = 0; k < kTileChunks; ++k) measure.add_weighed(lanes_[k], k);
    const TileRecords records =
        measure.records({z_ + std::int64_t{tile} * kTileBytes,
                         columns_of_tile(call_.logits, static_cast<unsigned>(tile)), tile == 0});
    push_record<Kind>(shared_.table + tile, records.at_temperature);
    if constexpr (Kind::kRaw) push_record<Kind>(shared_.table + tiles + tile, records.raw);
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
  ChunkAhead<Kind::kDType> ahead_;
  const std::byte* z_;
  bool is_bulk_;
};

// The barriers that all warps of a cluster meet stand once in the code, where all come by.
template <class Op>
__device__ __forceinline__ void visit_clusters(const typename Op::Call& call,
                                               const TileTemperature& scalar,
                                               const ClusterSpace& space) {
  extern __shared__ __align__(128) std::byte dynamic[];
  __shared__ Shared<ClusterShared<Op>> room;
  ClusterShared<Op>& shared = *room;
  const ClusterPlace place(space);
  if (place.is_leader()) {
    if (place.block == 0) shared.row.prepare_places(call, place.row);
    wait_for_kernel_before();
    let_next_kernel_start();
    if (place.block == 0) shared.row.prepare(call, place.row);
    if (space.blocks > 1) cluster_arrive_relaxed();
  } else {
    ClusterMeasure<Op> measure(call, place, shared, dynamic);
    const TileTemperature temperature = temperature_of(call.temperature, scalar, place.row);
    if (space.blocks > 1) {  // the first CTA's table may be written once it runs
      cluster_arrive_relaxed();
      cluster_wait();
    }
    measure.run(temperature, space.tiles);
  }
  if (space.blocks > 1) {
    if (place.is_leader()) cluster_wait();
    cluster_arrive();
    if (place.block != 0) return;
    cluster_wait();
  } else {
    __syncthreads();
  }
  if constexpr (HasAssistants<Op>) {
    if (place.is_leader())
      Op::lead(call, place.row, shared.table, shared.row);
    else if (place.warp < kTileChunks)
      Op::assist(place.warp, shared.row);
  } else {
    if (place.is_leader()) Op::finish(call, place.row, shared.table, shared.row);
  }
}

}  // namespace logsum::cuda
