// SPDX-License-Identifier: Apache-2.0
// The N largest logits of a row, best first, ties to the lowest index: 32 at a time, those that
// come after the ones before, in one look at the row. A tile whose maximum can't be better than
// what is found isn't read.
#pragma once

#include "cuda/device/row.cuh"

namespace logsum::cuda {

// "Better" as the order of integers: larger value, then lower column. 0: nothing.
__device__ __forceinline__ unsigned long long candidate(float z, std::int64_t column) {
  const unsigned value = static_cast<unsigned>(order_of(z + 0.0f)) ^ 0x80000000u;
  return static_cast<unsigned long long>(value) << 32 | (0xffffffffu - column);
}
__device__ __forceinline__ std::int64_t column_of(unsigned long long candidate) {
  return 0xffffffffu - static_cast<unsigned>(candidate);
}
__device__ __forceinline__ float value_of(unsigned long long candidate) {
  return from_order(static_cast<int>(static_cast<unsigned>(candidate >> 32) ^ 0x80000000u));
}

// Into candidates that the warp holds, best in thread 0: the worst of them falls out.
__device__ __forceinline__ void insert(unsigned long long& held, unsigned long long candidate) {
  const unsigned long long above = __shfl_up_sync(~0u, held, 1);
  if (held < candidate) held = warp_lane() > 0 && above < candidate ? above : candidate;
}

// The best `count` of those that come after `last`, one per thread. Inlined, as write_top isn't:
// two callees, one in the other, would take registers from the row's end.
template <DType kDType>
__device__ __forceinline__ unsigned long long best_below(const WarpRow<kDType>& logits,
                                                         const TileRecord* records,
                                                         unsigned long long last, int count) {
  constexpr int kAtOnce = 4;  // logits on their way, per thread
  const auto columns = static_cast<unsigned>(logits.columns());
  unsigned long long held = 0, least = 0;
  for (unsigned first = 0; first < columns;) {
    if (first % kTile == 0 && candidate(load_record(records + first / kTile).max, first) <= least) {
      first += kTile;
      continue;
    }
    float z[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const unsigned column = first + i * kWarp + warp_lane();
      z[i] = column < columns ? logits.value(column) : kNan;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      unsigned long long here = candidate(z[i], first + i * kWarp + warp_lane());
      if (z[i] != z[i] || here >= last) here = 0;
      for (unsigned from = __ballot_sync(~0u, here > least); from != 0; from &= from - 1)
        insert(held, __shfl_sync(~0u, here, __ffs(static_cast<int>(from)) - 1));
      least = __shfl_sync(~0u, held, count - 1);
    }
    first += kAtOnce * kWarp;
  }
  return held;
}

// `ok`: the row has a distribution.
template <DType kDType>
__device__ __noinline__ void write_top(WarpRow<kDType> logits, const TileRecord* records,
                                       std::int64_t n, bool ok, RowNorm norm, Place ids,
                                       Place logprobs) {
  unsigned long long last = ~0ull;
  for (std::int64_t first = 0; first < n; first += kWarp) {
    const auto count = static_cast<int>(min(n - first, std::int64_t{kWarp}));
    const unsigned long long held = ok ? best_below(logits, records, last, count) : 0;
    last = __shfl_sync(~0u, held, count - 1);
    if (warp_lane() >= count) continue;
    ids.set_integer(first + warp_lane(), ok ? column_of(held) : -1);
    logprobs.set(first + warp_lane(), ok ? norm.logprob(value_of(held)) : kNan);
  }
}

}  // namespace logsum::cuda
