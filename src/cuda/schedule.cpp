// SPDX-License-Identifier: Apache-2.0
#include "cuda/schedule.hpp"

#include <algorithm>

#include "core/workspace.hpp"

namespace logsum::cuda {
namespace {

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
  const int room = limits.shared_per_block - kClusterStaticShared;
  while (schedule.groups > 1 && dynamic_shared(schedule.groups, lanes) > room) schedule.groups /= 2;
  return dynamic_shared(schedule.groups, lanes) <= room;
}

// Few tiles are spread over all processors, though most warps then have none: what a processor
// reads is limited by what it may ask for at once.
Status span_schedule(const DeviceLimits& limits, const VisitShape& shape,
                     SpanSchedule& schedule) noexcept {
  const std::int64_t most = std::min<std::int64_t>(limits.processors, kMostSpans);
  if (shape.rows > (kMostSpanTiles - shape.tiles) * most / shape.tiles)
    return Status::error(StatusCode::unsupported,
                         "schedule: %lld rows of %lld tiles are too many for %lld processors",
                         static_cast<long long>(shape.rows), static_cast<long long>(shape.tiles),
                         static_cast<long long>(most));
  schedule.threads = span_threads(shape.dtype);
  schedule.blocks = static_cast<int>(std::min(shape.rows * shape.tiles, most));
  return {};
}

// Of a ring beside a row's slice, at least.
constexpr int kLeastRingAhead = 28 * 1024;

// As many slots as there is room for.
bool fill_ring(const DeviceLimits& limits, const RingCost& cost, RingSpace& space) {
  const int slice = space.tiles / space.blocks * cost.tile_slots;
  for (space.slots = (limits.shared_per_block - cost.fixed) / cost.slot_bytes;
       space.slots >= cost.least_slots; --space.slots) {
    space.known_rows = (space.slots + slice - 1) / slice + 1;
    // Of each joiner so many that a row's is needed again when it is finished, not before. Where
    // all CTAs join: one that measures a row has joined the row that many before as its ring
    // reaches back, so all have measured that, and joined those that their rings reach back from
    // there.
    const int at_once = space.blocks * cost.joiners;
    space.tables = cost.joins_everywhere
                       ? 2 * (space.known_rows - 1)
                       : cost.joiners * ((space.known_rows + at_once - 1) / at_once + 1);
    cost.lay(space);
    if (space.bytes <= limits.shared_per_block) return true;
  }
  return false;
}

}  // namespace

Status visit_schedule(const DeviceLimits& limits, const VisitShape& shape, Schedule wanted,
                      VisitSchedule& schedule) noexcept {
  if (wanted == Schedule::rings)
    return Status::error(StatusCode::unsupported,
                         "schedule: rings are for operations that write rows");
  const bool fits = cluster_schedule(limits, shape, schedule.clusters);
  if (wanted == Schedule::clusters && !shape.is_dense)
    return Status::error(StatusCode::unsupported, "schedule: clusters want contiguous columns");
  if (wanted == Schedule::clusters && !fits)
    return Status::error(StatusCode::unsupported,
                         "schedule: clusters are for up to %d rows of %d tiles",
                         2 * limits.processors, kMostClusterTiles);
  schedule.kind = fits && wanted != Schedule::spans ? Schedule::clusters : Schedule::spans;
  if (schedule.kind == Schedule::clusters) return {};
  return span_schedule(limits, shape, schedule.spans);
}

bool ring_schedule(const DeviceLimits& limits, std::int64_t rows, std::int64_t columns,
                   const RingCost& cost, RingSpace& space, bool& is_best) noexcept {
  space = {};
  const std::int64_t tiles = tile_count(columns);
  if (limits.capability < 90 || tiles > limits.shared_per_block / kTileChunks) return false;
  RingSpace unlaid = {};
  unlaid.rows = rows;
  unlaid.columns = static_cast<int>(columns);
  unlaid.tiles = static_cast<int>(tiles);
  unlaid.records = unlaid.tiles * cost.tile_records + cost.extra_records;
  int ahead = 0;
  // The fewest CTAs per row that leave the ring what it needs; more where rows are few.
  for (int blocks = 1; blocks <= kMostRingBlocks && blocks <= tiles; blocks *= 2) {
    // `ahead`: of half as many.
    if (ahead >= (blocks <= 4 ? cost.ahead : std::max(cost.ahead, kRingAhead)) &&
        rows > limits.processors / blocks)
      break;
    RingSpace wider = unlaid;
    wider.blocks = blocks;
    if (!fill_ring(limits, cost, wider)) continue;
    const int slice = static_cast<int>((tiles + blocks - 1) / blocks) * cost.tile_slots;
    const int its_ahead = (wider.slots - slice) * cost.slot_bytes;
    if (its_ahead < kLeastRingAhead) continue;
    ahead = its_ahead;
    space = wider;
  }
  // 16 rows of 151936 bf16: 20 us, two launches 36; 32768 of 8192: 511 and 594.
  is_best = rows > (limits.processors - 1) / 16 && tiles >= 2;
  return space.slots > 0;
}

std::int64_t ring_blocks(const DeviceLimits& limits, const RingSpace& space) noexcept {
  const int clusters = limits.clusters[std::countr_zero(static_cast<unsigned>(space.blocks))];
  return std::min<std::int64_t>(std::max(clusters, 1), space.rows) * space.blocks;
}

}  // namespace logsum::cuda
