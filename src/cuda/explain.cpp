// SPDX-License-Identifier: Apache-2.0
// What a call would do on a device, there or not: no call of CUDA, so it is in every build.
#include <algorithm>
#include <iterator>

#include "cuda/ring_cost.hpp"
#include "cuda/schedule.hpp"
#include "cuda/span_space.hpp"
#include "logsum/devices.hpp"

namespace logsum {

namespace {

Status limits_of(const char* function, const DeviceInfo& device, std::int64_t rows,
                 std::int64_t columns, DType dtype, cuda::DeviceLimits& limits) {
  if (rows < 1 || columns < 1)
    return Status::error(StatusCode::invalid_argument,
                         "%s: rows, columns are %lld, %lld, must be at least 1", function,
                         static_cast<long long>(rows), static_cast<long long>(columns));
  if (!is_logits_dtype(dtype))
    return Status::error(StatusCode::invalid_argument, "%s: dtype is %s, must be f32, f16 or bf16",
                         function, to_string(dtype));
  if (device.multiprocessors < 1 || device.shared_bytes_per_block < 1)
    return Status::error(StatusCode::invalid_argument,
                         "%s: the device has %d multiprocessors and %d bytes of shared memory, "
                         "must have some of each",
                         function, device.multiprocessors, device.shared_bytes_per_block);
  limits = {.processors = device.multiprocessors,
            .capability = device.capability,
            .shared_per_block = device.shared_bytes_per_block};
  std::copy(std::begin(device.clusters), std::end(device.clusters), limits.clusters);
  return {};
}

std::int32_t shared_of_span(const cuda::DeviceLimits& limits, const cuda::VisitShape& shape,
                            int blocks) {
  cuda::SpanSpace space =
      cuda::span_space(nullptr, shape.rows, shape.tiles, shape.raw ? 2 : 1, blocks);
  cuda::choose_copies(limits, shape.dtype, space);
  return cuda::span_shared_bytes(space, shape.dtype);
}

cuda::RingUse use_of(WrittenRows::Operation operation) {
  using Operation = WrittenRows::Operation;
  switch (operation) {
    case Operation::softmax: return cuda::RingUse::softmax;
    case Operation::log_softmax: return cuda::RingUse::log_softmax;
    case Operation::loss: return cuda::RingUse::loss;
    case Operation::loss_with_entropy: return cuda::RingUse::loss_with_entropy;
    case Operation::divergence: return cuda::RingUse::divergence;
    default: return cuda::RingUse::gradients;
  }
}

}  // namespace

Status explain_schedule(const DeviceInfo& device, const VisitedRows& rows, Schedule wanted,
                        ScheduleInfo& info) noexcept {
  cuda::DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(
      limits_of("explain_schedule", device, rows.rows, rows.columns, rows.dtype, limits));
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
      info.shared_bytes = shared_of_span(limits, shape, chosen.spans.blocks);
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

Status explain_rings(const DeviceInfo& device, const WrittenRows& rows,
                     ScheduleInfo& info) noexcept {
  cuda::DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(
      limits_of("explain_rings", device, rows.rows, rows.columns, rows.dtype, limits));
  const cuda::RingUse use = use_of(rows.operation);
  const cuda::RingCost cost =
      cuda::ring_cost(use, rows.dtype, rows.determinism == Determinism::per_device);
  cuda::RingSpace space;
  bool is_best = false;
  const bool is_exact = use == cuda::RingUse::divergence &&
                        (rows.dtype == DType::f32 || rows.determinism != Determinism::per_device);
  if (is_exact || !cuda::ring_schedule(limits, rows.rows, rows.columns, cost, space, is_best) ||
      !is_best)
    return Status::error(StatusCode::unsupported,
                         "explain_rings: %lld rows of %lld %s take two launches",
                         static_cast<long long>(rows.rows), static_cast<long long>(rows.columns),
                         to_string(rows.dtype));
  info = {.schedule = Schedule::rings,
          .blocks_per_row = space.blocks,
          .blocks = cuda::ring_blocks(limits, space),
          .threads = cuda::ring_threads(use, rows.dtype),
          .warps = kTileChunks * cuda::ring_groups(use, rows.dtype),
          .shared_bytes = space.bytes};
  return {};
}

}  // namespace logsum
