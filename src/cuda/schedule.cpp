// SPDX-License-Identifier: Apache-2.0
#include "cuda/schedule.hpp"

#include <algorithm>

#include "core/workspace.hpp"

namespace logsum::cuda {
namespace {

// Static shared memory of a cluster's CTA (its table of records and barriers) and what the driver
// keeps, rounded up.
constexpr int kStaticShared = 8 * 1024;

// False where the rows don't suit clusters.
bool cluster_schedule(const DeviceLimits& limits, const VisitShape& shape,
                      ClusterSchedule& schedule) noexcept {
  if (!shape.is_dense || shape.tiles > kMostClusterTiles || shape.rows > limits.processors)
    return false;
  const bool has_clusters = limits.capability >= 90;
  // As many CTAs per row as leave room for all rows at once. Eight is what every GPU with clusters
  // grants; the CTAs of a processor group don't divide evenly, so a full GPU would wait for one.
  int blocks = 1;
  while (has_clusters && blocks < 8 && 2 * blocks * shape.rows <= limits.processors &&
         blocks * 2 <= shape.tiles)
    blocks *= 2;
  const auto per_block = static_cast<int>((shape.tiles + blocks - 1) / blocks);
  const int rounds = (per_block + kMostClusterGroups - 1) / kMostClusterGroups;
  schedule.overlaps = has_clusters;
  schedule.blocks = blocks;
  schedule.groups = (per_block + rounds - 1) / rounds;
  const int lanes = chunk_lanes_bytes(shape.moment, shape.raw);
  return dynamic_shared(schedule, shape.dtype, lanes) <= limits.shared_per_block - kStaticShared;
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
                         "schedule: clusters are for up to %d rows of %d tiles", limits.processors,
                         kMostClusterTiles);
  schedule.kind = fits && wanted != Schedule::spans ? Schedule::clusters : Schedule::spans;
  schedule.spans = span_schedule(limits, shape);
  return {};
}

}  // namespace logsum::cuda
