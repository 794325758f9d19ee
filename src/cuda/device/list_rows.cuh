// SPDX-License-Identifier: Apache-2.0
// Which rows count for a loss, in their order. One CTA took 12 us for 4096 rows and 30 for 16384,
// of 700 and 650 for the loss; several take a range each.
#pragma once

#include "cuda/device/last_block.cuh"
#include "ops/loss_plan.hpp"

namespace logsum::cuda {

inline constexpr int kListThreads = 512;
inline constexpr int kListWarps = kListThreads / kWarp;

// Σ of the CTA's threads' values, in all of them. Every thread calls.
__device__ __forceinline__ std::int64_t sum_of_threads(std::int64_t value, std::uint64_t* room) {
  const std::uint64_t sum = warp_sum(static_cast<std::uint64_t>(value));
  __syncthreads();
  if (warp_lane() == 0) room[threadIdx.x / kWarp] = sum;
  __syncthreads();
  return static_cast<std::int64_t>(warp_sum(warp_lane() < kListWarps ? room[warp_lane()] : 0));
}

// Flags of kAtOnce rows `step` apart, asked for together: one after the other each would take a
// microsecond.
template <int kAtOnce>
struct RowFlags {
  unsigned counts = 0, also = 0;  // a bit per row

  __device__ __forceinline__ RowFlags(const LossPlan& plan, const ElementsView& also_mask,
                                      std::int64_t first, std::int64_t step, std::int64_t rows) {
    std::int64_t target[kAtOnce];
    std::uint8_t mask[kAtOnce], second[kAtOnce];
    const auto each = [&](const auto& body) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const std::int64_t row = first + i * step;
        if (row < rows) body(i, row);
      }
    };
    if (plan.targets.dtype == DType::i32)
      each([&](int i, std::int64_t row) { target[i] = plan.targets.raw<std::int32_t>(row); });
    else
      each([&](int i, std::int64_t row) { target[i] = plan.targets.raw<std::int64_t>(row); });
    if (plan.completion_mask)
      each([&](int i, std::int64_t row) { mask[i] = plan.completion_mask.raw<std::uint8_t>(row); });
    if (also_mask)
      each([&](int i, std::int64_t row) { second[i] = also_mask.raw<std::uint8_t>(row); });
    each([&](int i, std::int64_t) {
      const bool counted =
          target[i] != plan.ignore_index && (!plan.completion_mask || mask[i] != 0);
      counts |= counted << i;
      also |= (counted && (!also_mask || second[i] != 0)) << i;
    });
  }
};

struct ListCounts {
  std::int64_t kept = 0, also = 0, nonempty = 0;
};

// Rows of the CTA that follow each other. Each counts those before it anew: it would wait longer
// for the others to tell.
struct ListRange {
  std::int64_t first, end;

  __device__ __forceinline__ explicit ListRange(std::int64_t rows) {
    const std::int64_t size = (rows + gridDim.x - 1) / gridDim.x;
    first = min(std::int64_t{blockIdx.x} * size, rows);
    end = min(first + size, rows);
  }
};

__device__ __forceinline__ ListCounts count_rows(const LossPlan& plan, const ElementsView& also,
                                                 std::int64_t end, std::uint64_t* room) {
  constexpr int kAtOnce = 8;
  const int thread = static_cast<int>(threadIdx.x);
  ListCounts counts;
#pragma unroll 1
  for (std::int64_t first = 0; first < end; first += kAtOnce * kListThreads) {
    const RowFlags<kAtOnce> flags(plan, also, first + thread, kListThreads, end);
    counts.kept += __popc(flags.counts);
    counts.also += __popc(flags.also);
  }
  return {sum_of_threads(counts.kept, room), sum_of_threads(counts.also, room)};
}

// Fills the list and `before` of a range of rows; `counts`: of the rows before it, then up to its
// end. A row per thread at a time: a kernel that runs once waits for its instructions, which eight
// would have five times as many of.
__device__ __forceinline__ void list_range(const LossPlan& plan, const LossRows& kept,
                                           const ElementsView& also, const ListRange& range,
                                           ListCounts& counts, std::uint64_t* room) {
  const std::int64_t rows = plan.logits.rows;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  std::int64_t with_also = 0;
#pragma unroll 1
  for (std::int64_t first = range.first; first < range.end; first += kListThreads) {
    const std::int64_t row = first + thread;
    const RowFlags<1> flags(plan, also, row, 0, range.end);
    with_also += flags.also;
    const unsigned votes = __ballot_sync(~0u, flags.counts != 0);
    __syncthreads();
    if (warp_lane() == 0) room[warp] = __popc(votes);
    __syncthreads();
    const std::uint64_t of_warp = warp_lane() < kListWarps ? room[warp_lane()] : 0;
    const std::uint64_t up_to = warp_prefix_sum(of_warp);
    const std::uint64_t before = __shfl_sync(~0u, up_to - of_warp, warp);
    const std::int64_t place =
        counts.kept + static_cast<std::int64_t>(before) + __popc(votes & ((1u << warp_lane()) - 1));
    if (row < range.end) {
      kept.before[row] = place;
      kept.list[flags.counts ? place : rows - 1 - (row - place)] = {row, plan.sequence_of_row(row)};
    }
    counts.kept += static_cast<std::int64_t>(__shfl_sync(~0u, up_to, kWarp - 1));
  }
  counts.also += sum_of_threads(with_also, room);
}

// Fills the list, `before` and the sequences' lengths. `also_mask`: optional, rows of these that
// are counted beside. All threads of all CTAs call; those of the last get true and the counts.
__device__ __forceinline__ bool list_rows(const LossPlan& plan, const LossRows& kept,
                                          const ElementsView& also_mask, unsigned* counter,
                                          ListCounts& counts) {
  __shared__ std::uint64_t room[kListWarps];
  const std::int64_t rows = plan.logits.rows;
  const int thread = static_cast<int>(threadIdx.x);
  let_next_kernel_start();
  const ListRange range(rows);
  ListCounts own = count_rows(plan, also_mask, range.first, room);
  list_range(plan, kept, also_mask, range, own, room);
  if (thread == 0 && range.end == rows && range.first < rows) {
    kept.before[rows] = own.kept;
    *kept.also = own.also;
  }
  if (!is_last_block(counter)) return false;
  std::int64_t nonempty = 0;
  for (std::int64_t i = thread; i < plan.sequences.count; i += kListThreads) {
    const TokenRange span = plan.sequences.range(i);
    const std::int64_t length = __ldcg(kept.before + span.end) - __ldcg(kept.before + span.begin);
    kept.lengths[i] = length;
    nonempty += length > 0;
  }
  counts = {__ldcg(kept.before + rows), __ldcg(kept.also), sum_of_threads(nonempty, room)};
  return true;
}

}  // namespace logsum::cuda
