// SPDX-License-Identifier: Apache-2.0
// What a call would do on a device, there or not: no call of CUDA, so it is in every build.
#include <algorithm>
#include <iterator>

#include "cuda/schedule.hpp"
#include "cuda/span_space.hpp"
#include "logsum/devices.hpp"

namespace logsum {

Status explain_schedule(const DeviceInfo& device, const VisitedRows& rows, Schedule wanted,
                        ScheduleInfo& info) noexcept {
  if (rows.rows < 1 || rows.columns < 1)
    return Status::error(StatusCode::invalid_argument,
                         "explain_schedule: rows, columns are %lld, %lld, must be at least 1",
                         static_cast<long long>(rows.rows), static_cast<long long>(rows.columns));
  if (!is_logits_dtype(rows.dtype))
    return Status::error(StatusCode::invalid_argument,
                         "explain_schedule: dtype is %s, must be f32, f16 or bf16",
                         to_string(rows.dtype));
  if (device.multiprocessors < 1 || device.shared_bytes_per_block < 1)
    return Status::error(StatusCode::invalid_argument,
                         "explain_schedule: the device has %d multiprocessors and %d bytes of "
                         "shared memory, must have some of each",
                         device.multiprocessors, device.shared_bytes_per_block);
  cuda::DeviceLimits limits{.processors = device.multiprocessors,
                            .capability = device.capability,
                            .shared_per_block = device.shared_bytes_per_block};
  std::copy(std::begin(device.clusters), std::end(device.clusters), limits.clusters);
  const cuda::VisitShape shape{rows.rows,    tile_count(rows.columns), rows.dtype,
                               rows.entropy, rows.raw_logprob,         true};
  cuda::VisitSchedule chosen;
  LOGSUM_RETURN_IF_ERROR(cuda::visit_schedule(limits, shape, wanted, chosen));
  info = {.schedule = chosen.kind};
  switch (chosen.kind) {
    case Schedule::automatic:
    case Schedule::rings: break;  // not what a visit chooses
    case Schedule::spans:
      info.blocks = chosen.spans.blocks;
      info.threads = chosen.spans.threads;
      info.warps = info.threads / 32;
      info.shared_bytes = static_cast<std::int32_t>(cuda::shared_ring_bytes(cuda::span_space(
          nullptr, shape.rows, shape.tiles, shape.raw ? 2 : 1, chosen.spans.blocks)));
      break;
    case Schedule::clusters:
      info.blocks_per_row = chosen.clusters.blocks;
      info.blocks = rows.rows * chosen.clusters.blocks;
      info.threads = cuda::cluster_threads(chosen.clusters.groups);
      info.warps = 4 * chosen.clusters.groups;
      info.shared_bytes = cuda::dynamic_shared(chosen.clusters.groups,
                                               cuda::chunk_lanes_bytes(shape.moment, shape.raw));
      break;
  }
  return {};
}

}  // namespace logsum
