// SPDX-License-Identifier: Apache-2.0
// merge on the GPU: a thread per row, as it has 24 bytes per 4096 columns to read.
#include "core/backend.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "ops/merge_row.hpp"

namespace logsum::cuda {
namespace {

// What fits into a kernel's parameters.
constexpr std::size_t kMostShards = 64;

struct Shards {
  StructRows<TileRecord> records[kMostShards];
  ElementsView target_logits[kMostShards];
  int target_count;
};

// A row's records, shard after shard. Looked up from where the last one was: they are asked for in
// order.
class ShardedRecords {
 public:
  __device__ ShardedRecords(const Shards& shards, std::int64_t row) : shards_(shards), row_(row) {
    enter(0, 0);
  }

  __device__ TileRecord operator()(std::int64_t tile) const {
    if (tile < first_) enter(0, 0);
    while (tile >= first_ + shards_.records[shard_].count)
      enter(shard_ + 1, first_ + shards_.records[shard_].count);
    return records_[tile - first_];
  }

 private:
  __device__ void enter(int shard, std::int64_t first) const {
    shard_ = shard;
    first_ = first;
    records_ = shards_.records[shard].row(row_);
  }

  const Shards& shards_;
  std::int64_t row_;
  mutable int shard_;
  mutable std::int64_t first_;  // tile of the shard
  mutable const TileRecord* records_;
};

__global__ __launch_bounds__(kGridThreads) void merge_kernel(
    const __grid_constant__ MergeCall call, const __grid_constant__ Shards shards) {
  each_by_thread(call.rows, [&](std::int64_t row) {
    const ShardedRecords records(shards, row);
    const auto target_logit = [&] {
      float z = kNegInf;
      for (int i = 0; i < shards.target_count; ++i)
        z = fmaxf(z, static_cast<float>(shards.target_logits[i].real(row)));
      return z;
    };
    merge_row(call, row, records, target_logit,
              [&](const RowMeasure& measure) { return TileScan(records, call.tiles, measure); });
  });
}

}  // namespace

Status merge(const MergePlan& plan, const Context& context) {
  for (const std::size_t count : {plan.shards.size(), plan.target_logits.size()})
    if (count > kMostShards)
      return Status::error(StatusCode::unsupported, "%zu shards, cuda merges up to %zu in a call",
                           count, kMostShards);
  Shards shards = {};
  shards.target_count = static_cast<int>(plan.target_logits.size());
  std::copy(plan.shards.begin(), plan.shards.end(), shards.records);
  std::copy(plan.target_logits.begin(), plan.target_logits.end(), shards.target_logits);
  return launch_kernel(merge_kernel, grid_for(plan.rows, kGridThreads), kGridThreads, 0, context,
                       static_cast<const MergeCall&>(plan), shards);
}

}  // namespace logsum::cuda
