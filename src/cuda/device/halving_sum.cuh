// SPDX-License-Identifier: Apache-2.0
// The sums of core/halving_tree.hpp by a CTA, to their bits: a leaf per thread, neighbours first
// within warps, then over them; what the CTA's rounds give is added as they come.
#pragma once

#include <bit>

#include "core/halving_tree.hpp"
#include "cuda/device/warp.cuh"

namespace logsum::cuda {

template <class T>
__device__ __forceinline__ T shuffled(const T& value, int offset) {
  static_assert(sizeof(T) % 4 == 0);
  struct Words {
    unsigned word[sizeof(T) / 4];
  };
  auto words = std::bit_cast<Words>(value);
#pragma unroll
  for (unsigned& word : words.word) word = __shfl_xor_sync(~0u, word, offset);
  return std::bit_cast<T>(words);
}

// Neighbours of `size` threads, a power of two. a + b is b + a, to the bit.
template <class T>
__device__ __forceinline__ void add_neighbours(T& value, int size) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2)
    if (offset < size) value.add(shuffled(value, offset));
}

template <class T, int kThreads>
struct HalvingRoom {
  static constexpr int kWarps = kThreads / kWarp;
  static_assert(kWarps <= kWarp && (kWarps & (kWarps - 1)) == 0);

  Shared<T> of_warps[kWarps];
  Shared<T> total;
  Shared<HalvingSum<T>> rounds;
};

// Σ of value(i) over the tree's leaves [first, last), a subtree, in all threads. All of the CTA's
// call.
template <class T, int kThreads, class Value>
__device__ __forceinline__ T halving_sum_of_leaves(const HalvingTree& tree, std::int64_t first,
                                                   std::int64_t last,
                                                   HalvingRoom<T, kThreads>& room,
                                                   const Value& value) {
  using Room = HalvingRoom<T, kThreads>;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  HalvingSum<T>& rounds = *room.rounds;
  __syncthreads();
  if (thread == 0) rounds.count = 0, rounds.pushed = 0;
#pragma unroll 1
  for (; first < last; first += kThreads) {
    const std::int64_t leaf = first + thread;
    const std::int64_t i = leaf < last ? tree.element(leaf) : -1;
    T sum;
    if (i >= 0) sum = value(i);
    add_neighbours(sum, kWarp);
    __syncthreads();
    if (warp_lane() == 0) *room.of_warps[warp] = sum;
    __syncthreads();
    if (warp == 0) {
      T of_all;
      if (thread < Room::kWarps) of_all = *room.of_warps[thread];
      add_neighbours(of_all, Room::kWarps);
      if (thread == 0) rounds.push(of_all);
    }
  }
  if (thread == 0) *room.total = rounds.total();
  __syncthreads();
  return *room.total;
}

// Σ of value(i) for i in [0, n).
template <class T, int kThreads, class Value>
__device__ __forceinline__ T halving_sum_of_block(std::int64_t n, HalvingRoom<T, kThreads>& room,
                                                  const Value& value) {
  const HalvingTree tree(n);
  return halving_sum_of_leaves(tree, 0, tree.leaves(), room, value);
}

}  // namespace logsum::cuda
