// SPDX-License-Identifier: Apache-2.0
// The N largest logits of a row, best first, ties to the lowest index: each the best of those that
// come after the one before. A tile whose maximum can't be better than what is found isn't read.
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

template <DType kDType>
__device__ __noinline__ unsigned long long best_below(WarpRow<kDType> logits,
                                                      const TileRecord* records,
                                                      unsigned long long last) {
  unsigned long long best = 0;
  for (std::int64_t tile = 0; tile < logits.tiles(); ++tile) {
    if (candidate(load_record(records + tile).max, tile * kTile) <= best) continue;
    logits.each_value_of_tile(tile, [&](int column, float z) {
      const unsigned long long here = candidate(z, tile * kTile + column);
      if (here < last && here > best) best = here;
    });
    best = warp_reduce(best, [](auto a, auto b) { return a > b ? a : b; });
  }
  return best;
}

// `ok`: the row has a distribution.
template <DType kDType>
__device__ __noinline__ void write_top(WarpRow<kDType> logits, const TileRecord* records,
                                       std::int64_t n, bool ok, RowNorm norm, Place ids,
                                       Place logprobs) {
  unsigned long long last = ~0ull;
  for (std::int64_t k = 0; k < n; ++k) {
    if (ok) last = best_below(logits, records, last);
    if (warp_lane() != 0) continue;
    ids.set_integer(k, ok ? column_of(last) : -1);
    logprobs.set(k, ok ? norm.logprob(value_of(last)) : kNan);
  }
}

}  // namespace logsum::cuda
