// SPDX-License-Identifier: Apache-2.0
// How many CTAs a kernel of grid.cuh gets: enough for all the work, or to fill any GPU some times.
#pragma once

#include <algorithm>
#include <cstdint>

namespace logsum::cuda {

inline unsigned grid_for(std::int64_t count, std::int64_t per_block) {
  constexpr std::int64_t kMost = 4096;
  const std::int64_t blocks = count / per_block + (count % per_block != 0);
  return static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, kMost));
}

}  // namespace logsum::cuda
