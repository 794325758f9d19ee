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

// The logits of a vector: the largest, and one of them.
template <DType kDType>
struct VectorOf {
  static constexpr unsigned kBytes = size_of(kDType);
  static constexpr unsigned kCount = 16 / kBytes;

  __device__ __forceinline__ static float logit(std::uint32_t word, int i) {
    if constexpr (kDType == DType::f32) return __uint_as_float(word);
    return from_two_bytes(i % 2 == 0 ? word & 0xffffu : word >> 16, kDType);
  }
  __device__ __forceinline__ static float max(const uint4& v) {
    const auto of_word = [](std::uint32_t word) { return fmaxf(logit(word, 0), logit(word, 1)); };
    return fmaxf(fmaxf(of_word(v.x), of_word(v.y)), fmaxf(of_word(v.z), of_word(v.w)));
  }
  // Of what thread `from` has, one logit per thread; those behind the last repeat them.
  __device__ __forceinline__ static float spread(const uint4& v, int from) {
    const std::uint32_t x = __shfl_sync(~0u, v.x, from), y = __shfl_sync(~0u, v.y, from),
                        z = __shfl_sync(~0u, v.z, from), w = __shfl_sync(~0u, v.w, from);
    const unsigned word = threadIdx.x * kBytes / 4 % 4;
    return logit(word == 0 ? x : word == 1 ? y : word == 2 ? z : w, warp_lane());
  }
};

// The best `count` of those that come after `last`, one per thread, of what the warp is shown from
// low columns to high.
struct Best {
  unsigned long long last, held = 0, least = 0;
  int count;

  __device__ __forceinline__ Best(unsigned long long last_, int count_)
      : last(last_), count(count_) {}

  // Of what lies behind all that was shown: of equal logits the first is the better.
  __device__ __forceinline__ bool may_take(float z) const {
    return least == 0 || z > value_of(least);
  }
  // A logit per thread, where it `exists`.
  __device__ __forceinline__ void show(float z, std::int64_t column, bool exists) {
    unsigned long long here = candidate(z, column);
    if (!exists || here >= last) here = 0;
    for (unsigned from = __ballot_sync(~0u, here > least); from != 0; from &= from - 1)
      insert(held, __shfl_sync(~0u, here, __ffs(static_cast<int>(from)) - 1));
    least = __shfl_sync(~0u, held, count - 1);
  }
};

// Of a row: what lies before its first whole vector, its vectors, and the rest. A vector that has
// nothing to be taken, as most, costs its maximum. Inlined, as write_top isn't, and with few
// registers: two callees, one in the other, or a large one would take those of the row's end.
template <DType kDType>
__device__ __forceinline__ unsigned long long best_below(const WarpRow<kDType>& logits,
                                                         const TileRecord* records,
                                                         unsigned long long last, int count) {
  using Vector = VectorOf<kDType>;
  constexpr int kAtOnce = 4;  // vectors on their way, per thread
  constexpr unsigned kGroup = kAtOnce * kWarp * Vector::kCount;
  static_assert(kGroup <= kTile);
  Best best(last, count);
  const auto columns = static_cast<unsigned>(logits.columns()), lane = threadIdx.x % kWarp;
  const auto show_single = [&](unsigned first, unsigned end) {
    const unsigned column = first + lane;
    best.show(column < end ? logits.value(column) : kNegInf, column, column < end);
  };
  const std::byte* const row = logits.tile(0);
  const auto to_aligned = static_cast<unsigned>(-reinterpret_cast<std::uintptr_t>(row) % 16);
  const unsigned begin = min(to_aligned / unsigned{Vector::kBytes}, columns);
  const unsigned end = columns - (columns - begin) % Vector::kCount;
  show_single(0, begin);
#pragma unroll 1
  for (unsigned group = begin; group < end; group += kGroup) {
    if (!best.may_take(load_record(records + group / kTile).max) &&
        !best.may_take(load_record(records + (min(group + kGroup, end) - 1) / kTile).max))
      continue;
    const auto first_of = [&](int i, unsigned thread) {
      return group + (i * kWarp + thread) * Vector::kCount;
    };
    uint4 vectors[kAtOnce] = {};
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (const unsigned column = first_of(i, lane); column < end)
        vectors[i] =
            __ldg(reinterpret_cast<const uint4*>(row + std::int64_t{column} * Vector::kBytes));
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const bool may = first_of(i, lane) < end && best.may_take(Vector::max(vectors[i]));
      for (unsigned from = __ballot_sync(~0u, may); from != 0; from &= from - 1) {
        const auto thread = static_cast<unsigned>(__ffs(static_cast<int>(from)) - 1);
        best.show(Vector::spread(vectors[i], static_cast<int>(thread)), first_of(i, thread) + lane,
                  lane < Vector::kCount);
      }
    }
  }
  show_single(end, columns);
  return best.held;
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
