// SPDX-License-Identifier: Apache-2.0
// Gradients that are 0, of rows that aren't visited.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace logsum::cuda {

// By a CTA; `row` begins at a multiple of 16 bytes.
__device__ __forceinline__ void fill_row(std::byte* row, std::int64_t bytes) {
  for (std::int64_t i = threadIdx.x; i < bytes / 16; i += blockDim.x)
    reinterpret_cast<uint4*>(row)[i] = {};
  const std::int64_t i = bytes / 16 * 16 + std::int64_t{threadIdx.x} * 2;
  if (i < bytes) *reinterpret_cast<std::uint16_t*>(row + i) = 0;
}

// CTAs that fill so many rows at most: as many as a GPU runs at once, about.
inline unsigned fill_blocks(std::int64_t rows) {
  constexpr std::int64_t kMost = 2048;
  return static_cast<unsigned>(std::min(rows, kMost));
}

}  // namespace logsum::cuda
