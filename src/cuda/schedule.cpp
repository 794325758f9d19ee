// SPDX-License-Identifier: Apache-2.0
#include "cuda/schedule.hpp"

#include <algorithm>

#include "core/workspace.hpp"

namespace logsum::cuda {
namespace {

// Static shared memory of a cluster's CTA (its table of records and barriers) and what the driver
// keeps, rounded up.
constexpr int kStaticShared = 12 * 1024;

// False where the rows don't suit clusters.
bool cluster_schedule(const DeviceLimits& limits, const VisitShape& shape,
                      ClusterSchedule& schedule) noexcept {
  if (!shape.is_dense || shape.tiles > kMostClusterTiles || shape.rows > 2 * limits.processors)
    return false;
  schedule.overlaps = limits.capability >= 90;
  schedule.blocks = 1;
  // As many CTAs per row as leave room for all rows at once.
  for (int i = 1; i < kClusterSizes; ++i)
    if (shape.rows <= limits.clusters[i] && 1 << i <= shape.tiles) schedule.blocks = 1 << i;
  // Beyond one row per SM two, of half the warps each (256 rows of 151936 f32: 41.7 us; as spans
  // 63.5).
  schedule.groups = shape.rows > limits.processors ? kMostClusterGroups / 2 : kMostClusterGroups;
  if (shape.tiles == 1) schedule.groups = 1;  // the others would have nothing to measure
  const int lanes = chunk_lanes_bytes(shape.moment, shape.raw);
  const int room = limits.shared_per_block - kStaticShared;
  while (schedule.groups > 1 && dynamic_shared(schedule.groups, lanes) > room) schedule.groups /= 2;
  return dynamic_shared(schedule.groups, lanes) <= room;
}

SpanSchedule span_schedule(const DeviceLimits& limits, const VisitShape& shape) noexcept {
  SpanSchedule schedule;
  schedule.threads = span_threads(shape.dtype);
  const std::int64_t warps = schedule.threads / 32;
  const std::int64_t wanted = (shape.rows * shape.tiles + warps - 1) / warps;
  schedule.blocks =
      static_cast<int>(std::min<std::int64_t>({wanted, limits.processors, kMostSpans}));
  return schedule;
}

}  // namespace

Status visit_schedule(const DeviceLimits& limits, const VisitShape& shape, Schedule wanted,
                      VisitSchedule& schedule) noexcept {
  const bool fits = cluster_schedule(limits, shape, schedule.clusters);
  if (wanted == Schedule::clusters && !shape.is_dense)
    return Status::error(StatusCode::unsupported, "schedule: clusters want contiguous columns");
  if (wanted == Schedule::clusters && !fits)
    return Status::error(StatusCode::unsupported,
                         "schedule: clusters are for up to %d rows of %d tiles",
                         2 * limits.processors, kMostClusterTiles);
  schedule.kind = fits && wanted != Schedule::spans ? Schedule::clusters : Schedule::spans;
  schedule.spans = span_schedule(limits, shape);
  return {};
}

}  // namespace logsum::cuda
