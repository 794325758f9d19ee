// SPDX-License-Identifier: Apache-2.0
// How a call's rows are laid over a GPU: many rows as spans of persistent CTAs, few rows as a
// cluster each. A table by shape and device; the bits don't depend on it.
#pragma once

#include <cstdint>

#include "core/measure.hpp"
#include "cuda/visit_space.hpp"
#include "logsum/context.hpp"
#include "logsum/dtype.hpp"
#include "logsum/status.hpp"

namespace logsum::cuda {

// What is asked once of a device.
struct DeviceLimits {
  int processors = 0;
  int capability = 0;        // 90: compute capability 9.0
  int shared_per_block = 0;  // the most that a CTA may have
};

Status limits_of_device(DeviceLimits& limits) noexcept;

struct ClusterSchedule {
  bool overlaps = false;  // may begin while the kernel before ends: compute capability 9.0
  int blocks = 1;         // CTAs per row
  int groups = 1;         // of four warps, in each

  int threads() const { return groups * 128 + 32; }
};

// `lane_bytes`: of a chunk's lanes. False where the rows don't suit clusters.
bool cluster_schedule(const DeviceLimits& limits, std::int64_t rows, std::int64_t tiles,
                      DType dtype, int lane_bytes, ClusterSchedule& schedule) noexcept;

// A chunk's lanes and a chunk on its way, per measuring warp.
inline int dynamic_shared(const ClusterSchedule& schedule, DType dtype, int lane_bytes) {
  return 4 * schedule.groups * (lane_bytes + kChunk * static_cast<int>(size_of(dtype)));
}

}  // namespace logsum::cuda
