// SPDX-License-Identifier: Apache-2.0
// Which rows count for a loss, in their order, by one CTA.
#pragma once

#include "cuda/device/warp.cuh"
#include "ops/loss_plan.hpp"

namespace logsum::cuda {

inline constexpr int kListThreads = 1024;
inline constexpr int kListWarps = kListThreads / kWarp;
inline constexpr int kAtOnce = 8;  // rows per thread whose flags are asked for together

// Σ of the CTA's threads' values, in all of them. Every thread calls.
__device__ __forceinline__ std::int64_t sum_of_threads(std::int64_t value, std::uint64_t* room) {
  const std::uint64_t sum = warp_sum(static_cast<std::uint64_t>(value));
  __syncthreads();
  if (warp_lane() == 0) room[threadIdx.x / kWarp] = sum;
  __syncthreads();
  return static_cast<std::int64_t>(warp_sum(room[warp_lane()]));
}

// Flags of rows `step` apart, asked for together: one after the other each would take a
// microsecond.
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
  std::int64_t kept, also, nonempty;
};

// Fills the list, `before` and the sequences' lengths. `also_mask`: optional, rows of these that
// are counted beside. All threads of the CTA call, and get the counts.
__device__ __forceinline__ ListCounts list_rows_of_block(const LossPlan& plan, const LossRows& kept,
                                                         const ElementsView& also_mask) {
  __shared__ int counts[kAtOnce * kListWarps];
  __shared__ std::uint64_t room[kListWarps];
  const std::int64_t rows = plan.logits.rows;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  std::int64_t before = 0, also = 0;
  for (std::int64_t first = 0; first < rows; first += kAtOnce * kListThreads) {
    const RowFlags flags(plan, also_mask, first + thread, kListThreads, rows);
    also += __popc(flags.also);
    unsigned votes[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      votes[i] = __ballot_sync(~0u, flags.counts >> i & 1);
      if (warp_lane() == 0) counts[i * kListWarps + warp] = __popc(votes[i]);
    }
    __syncthreads();
    // One warp makes them prefix sums: eight that follow each other per thread.
    if (warp == 0) {
      int own[kAtOnce], sum = 0;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        own[i] = sum;
        sum += counts[warp_lane() * kAtOnce + i];
      }
      const int others = static_cast<int>(warp_prefix_sum(static_cast<std::uint64_t>(sum))) - sum;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) counts[warp_lane() * kAtOnce + i] = others + own[i];
      if (warp_lane() == kWarp - 1) room[0] = static_cast<std::uint64_t>(others + sum);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const std::int64_t row = first + i * kListThreads + thread;
      if (row >= rows) continue;
      const std::int64_t place =
          before + counts[i * kListWarps + warp] + __popc(votes[i] & ((1u << warp_lane()) - 1));
      const bool counted = flags.counts >> i & 1;
      kept.before[row] = place;
      kept.list[counted ? place : rows - 1 - (row - place)] = {row, plan.sequence_of_row(row)};
    }
    before += static_cast<std::int64_t>(room[0]);
    __syncthreads();
  }
  if (thread == 0) kept.before[rows] = before;
  __syncthreads();
  std::int64_t nonempty = 0;
  for (std::int64_t i = thread; i < plan.sequences.count; i += kListThreads) {
    const TokenRange span = plan.sequences.range(i);
    const std::int64_t length = kept.before[span.end] - kept.before[span.begin];
    kept.lengths[i] = length;
    nonempty += length > 0;
  }
  return {before, sum_of_threads(also, room), sum_of_threads(nonempty, room)};
}

}  // namespace logsum::cuda
