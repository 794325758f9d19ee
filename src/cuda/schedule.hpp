// SPDX-License-Identifier: Apache-2.0
// How a call's rows are laid over a GPU: many rows as spans of persistent CTAs, few rows as a
// cluster each, rows that are written too through rings. A table by shape and device; the bits
// don't depend on it. No call of CUDA but limits_of_device: `logsum info --explain` asks it on
// machines without a GPU.
#pragma once

#include <cstdint>

#include "core/measure.hpp"
#include "cuda/visit_space.hpp"
#include "logsum/context.hpp"
#include "logsum/devices.hpp"
#include "logsum/dtype.hpp"
#include "logsum/status.hpp"

namespace logsum::cuda {

inline constexpr int kClusterSizes = DeviceInfo::kClusterSizes;

// What is asked once of a device.
struct DeviceLimits {
  int device = 0;  // its number
  int processors = 0;
  int capability = 0;                // 90: compute capability 9.0; its code's where that is older
  int shared_per_block = 0;          // the most that a CTA may have
  int clusters[kClusterSizes] = {};  // of 2^i CTAs with a processor each that run at once
};

Status limits_of_device(DeviceLimits& limits) noexcept;

struct ClusterSchedule {
  bool overlaps = false;  // may begin while the kernel before ends: compute capability 9.0
  int blocks = 1;         // CTAs per row
  int groups = 1;         // of four warps, in each
};

// Of a span and a row together, at most: a CTA counts its tiles in 32 bits, and its tickets beyond
// them.
inline constexpr std::int64_t kMostSpanTiles = std::int64_t{1} << 31;

struct SpanSchedule {
  int blocks = 1;
  int threads = 0;
};

// What of a call decides its schedule.
struct VisitShape {
  std::int64_t rows, tiles;
  DType dtype;
  bool moment, raw;  // what is measured (MeasureKind)
  bool is_dense;     // columns follow each other
};

struct VisitSchedule {
  Schedule kind = Schedule::spans;  // never automatic; it says which of these counts
  ClusterSchedule clusters;
  SpanSchedule spans;
};

// Refuses what is wanted where the rows don't suit it.
Status visit_schedule(const DeviceLimits& limits, const VisitShape& shape, Schedule wanted,
                      VisitSchedule& schedule) noexcept;

// False where rows are too long. `is_best`: rows and tiles are enough for rings to be the fastest.
bool ring_schedule(const DeviceLimits& limits, std::int64_t rows, std::int64_t columns,
                   const RingCost& cost, RingSpace& space, bool& is_best) noexcept;
// CTAs of its launch.
std::int64_t ring_blocks(const DeviceLimits& limits, const RingSpace& space) noexcept;

// Static shared memory of a cluster's CTA: its table of records, its barriers, what an operation
// keeps of a row. At most: launch_clusters checks each operation's.
inline constexpr int kClusterStaticShared = 12 * 1024;

// The lanes of a chunk and its maximum, as four warps share a tile (device/lanes.cuh).
constexpr int chunk_lanes_bytes(bool moment, bool raw) {
  return (1 + moment + raw) * kLanes * static_cast<int>(sizeof(float)) + 16;
}

// Two sets of a chunk's lanes and 4 KB of logits on their way, per measuring warp.
constexpr int dynamic_shared(int groups, int lane_bytes) {
  return 4 * groups * (2 * lane_bytes + 4096);
}

}  // namespace logsum::cuda
