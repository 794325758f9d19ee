// SPDX-License-Identifier: Apache-2.0
// What a ring has of an operation that looks at a row three times, though it is read once: it is
// measured, then its chunks add something that asks for the measure, then it is emitted. Such an Op
// has, beside what visit_rings.cuh lists,
//
//   Middle   what of a measured row its chunks must know: 8-byte words
//   Sums     what a chunk adds: 8-byte words
//   Kept     what the row's joiner keeps until the sums have come
//   join_measures(call, row, Ahead, records, kept)      Middle, by one warp of the cluster
//   add_up(call, row, chunk)                            Sums, by one warp; `row`: the RingRow
//   join(call, row, Ahead, kept, sums, space, joined)   Row, by the warp that joined the measures;
//                                                       it may overwrite the sums
#pragma once

#include "cuda/device/barriers.cuh"

namespace logsum::cuda {

template <class Op>
inline constexpr bool kHasMiddle = requires {
  typename Op::Middle;
};

template <class Op, bool kHas = kHasMiddle<Op>>
struct RingMiddleRow {};

template <class Op>
struct RingMiddleRow<Op, true> {
  ByteBarrier measured;
  alignas(8) typename Op::Middle middle;
};

template <class Op, bool kHas = kHasMiddle<Op>>
struct RingMiddleTable {};

template <class Op>
struct alignas(16) RingMiddleTable<Op, true> {
  ByteBarrier summed;
  typename Op::Kept kept;
};

template <class Op, bool kHas = kHasMiddle<Op>>
struct RingSumsOf {
  struct Type {};
};
template <class Op>
struct RingSumsOf<Op, true> {
  using Type = typename Op::Sums;
};
template <class Op>
using RingSums = typename RingSumsOf<Op>::Type;

}  // namespace logsum::cuda
