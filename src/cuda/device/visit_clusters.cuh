// SPDX-License-Identifier: Apache-2.0
// The row visit where rows are few: a cluster of CTAs per row, four warps per tile, a chunk each.
// Tiles' records meet in the shared memory of the cluster's first CTA, whose last warp, the leader,
// finishes the row: nothing goes through global memory, and there is nothing to reset.
//
// A warp has its next chunk on its way into shared memory (a bulk copy) while it weighs one in
// registers. A tile's chunks are joined by each of its four warps in turn. The leader measures
// nothing: it looks up what the row's end needs while the logits arrive. Tiles with NaN or beyond
// the reach of f32 are measured again, by the first CTA, once all the others are: calls would make
// the loop keep its variables in memory.
#pragma once

#include "cuda/device/cluster_measure.cuh"
#include "cuda/device/row.cuh"

namespace logsum::cuda {

inline constexpr int kBegun = 11;  // a barrier's number

// Makes the marked records of a row again, those of every `step`th tile.
template <class Op>
__device__ __noinline__ void mend_records(const typename Op::Call& call, TileTemperature scalar,
                                          std::int64_t row, TileRecord* table, int tiles, int first,
                                          int step) {
  for (int tile = first; tile < tiles; tile += step) {
    if (!is_marked(table[tile])) continue;
    const TileRecords records =
        measure_tile_of_row<Op>(call, scalar, row, static_cast<unsigned>(tile));
    __syncwarp();  // all have seen the mark
    if (warp_lane() != 0) continue;
    table[tile] = records.at_temperature;
    if constexpr (Op::Kind::kRaw) table[tiles + tile] = records.raw;
  }
}

// The first CTA's end of a row whose records are there.
template <class Op>
__device__ __forceinline__ void finish_row(const typename Op::Call& call,
                                           const TileTemperature& scalar, const ClusterPlace& place,
                                           ClusterShared<Op>& shared, int tiles) {
  const int others = place.measuring_warps();
  if constexpr (HasAssistants<Op>) {
    if (place.is_leader() ? Op::lead(call, place.row, others, shared.table, shared.row)
                          : Op::assist(call, place.row, place.warp, others, shared.table,
                                       shared.maxes, shared.row))
      return;
  }
  if (!place.is_leader())
    mend_records<Op>(call, scalar, place.row, shared.table, tiles, place.warp, others);
  __syncthreads();
  if (place.is_leader()) Op::finish(call, place.row, shared.table, shared.row);
}

template <class Op>
__device__ __forceinline__ void visit_clusters(const typename Op::Call& call,
                                               const TileTemperature& scalar,
                                               const ClusterSpace& space) {
  extern __shared__ __align__(128) std::byte dynamic[];
  __shared__ Shared<ClusterShared<Op>> room;
  ClusterShared<Op>& shared = *room;
  const ClusterPlace place(space);
  const bool is_cluster = space.log2_blocks > 0;
  const int threads = static_cast<int>(blockDim.x);
  if (place.is_leader()) {
    shared.begin(space, place.block == 0);
    arrive_threads(kBegun, threads);
    if (is_cluster) cluster_arrive();
    if (place.block == 0) shared.row.prepare_places(call, place.row);
    wait_for_kernel_before();
    let_next_kernel_start();
    if (place.block == 0) shared.row.prepare(call, place.row);
    __syncwarp();  // one thread wrote what lead() reads in all
    if (is_cluster) cluster_wait();
  } else {
    ClusterMeasure<Op> measure(call, place, shared, dynamic);
    const TileTemperature temperature = temperature_of(call.temperature, scalar, place.row);
    sync_threads(kBegun, threads);  // the CTA's barriers are there
    if (is_cluster) {               // and those of the first
      cluster_arrive();
      cluster_wait();
    }
    measure.run(temperature, space);
  }
  if (is_cluster) {
    if (place.block == 0 && (place.is_leader() || !HasAssistants<Op>))
      shared.arrived.wait_for_cluster(0);
    cluster_arrive();
  } else {
    __syncthreads();
  }
  if (place.block == 0) finish_row<Op>(call, scalar, place, shared, space.tiles);
  if (is_cluster) cluster_wait();  // nobody leaves while what it sent is on its way
}

}  // namespace logsum::cuda
