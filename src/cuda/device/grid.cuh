// SPDX-License-Identifier: Apache-2.0
// Kernels that aren't visits: a grid of bounded size whose warps, threads or CTAs take turns.
#pragma once

#include "cuda/device/warp.cuh"

namespace logsum::cuda {

inline constexpr int kGridThreads = 128;

// body(i) for each i in [0, count), by a warp each.
template <class Body>
__device__ __forceinline__ void each_by_warp(std::int64_t count, const Body& body) {
  constexpr int kWarps = kGridThreads / kWarp;
  const std::int64_t first = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  for (std::int64_t i = first; i < count; i += std::int64_t{gridDim.x} * kWarps) body(i);
}

// By a thread each.
template <class Body>
__device__ __forceinline__ void each_by_thread(std::int64_t count, const Body& body) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kGridThreads + threadIdx.x;
  for (std::int64_t i = first; i < count; i += std::int64_t{gridDim.x} * kGridThreads) body(i);
}

}  // namespace logsum::cuda
