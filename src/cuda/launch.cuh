// SPDX-License-Identifier: Apache-2.0
// From a validated call to a launch: the kernel for a dtype and an exponential, laid over the GPU
// as schedule.hpp says.
#pragma once

#include <bit>

#include "core/workspace.hpp"
#include "cuda/device/kernels.cuh"
#include "cuda/error.hpp"
#include "cuda/kernel_of_devices.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/schedule.hpp"
#include "cuda/scratch.hpp"
#include "cuda/span_space.hpp"
#include "cuda/with_kind.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {

template <class Op>
Status launch_clusters(const typename Op::Call& call, std::int64_t rows,
                       const ClusterSchedule& schedule, const DeviceLimits& limits,
                       const Context& context) {
  using Kind = typename Op::Kind;
  constexpr int kLaneBytes = chunk_lanes_bytes(Kind::kMoment, Kind::kRaw);
  static_assert(kLaneBytes == sizeof(ChunkLanes<Kind>));
  static_assert(sizeof(ClusterShared<Op>) <= kClusterStaticShared);
  const auto kernel = &clusters_kernel<Op>;
  cudaLaunchAttribute attributes[2] = {};
  attributes[0] = begins_early();
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {static_cast<unsigned>(schedule.blocks), 1, 1};
  static KernelOfDevices of_devices;
  LOGSUM_RETURN_IF_ERROR(of_devices.prepare(kernel, limits, schedule.overlaps));
  const ClusterSpace space{static_cast<int>(tile_count(call.logits.columns)),
                           std::countr_zero(static_cast<unsigned>(schedule.blocks))};
  const std::size_t used = schedule.blocks > 1 ? 2 : schedule.overlaps;
  return launch_with({attributes, used}, kernel,
                     {dim3(static_cast<unsigned>(schedule.blocks), static_cast<unsigned>(rows)),
                      static_cast<unsigned>(cluster_threads(schedule.groups)),
                      static_cast<std::size_t>(dynamic_shared(schedule.groups, kLaneBytes))},
                     context, call, TileTemperature(call.temperature.value), space);
}

template <class Op>
Status launch_spans(const typename Op::Call& call, std::int64_t rows, const SpanSchedule& schedule,
                    const DeviceLimits& limits, const Context& context) {
  using Kind = typename Op::Kind;
  const std::int64_t tiles = tile_count(call.logits.columns);
  const DeviceScratch scratch(span_bytes(rows, tiles * Kind::kRecords),
                              DeviceScratch::Counters::used, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  SpanSpace space =
      span_space(scratch.at<std::byte>(0), rows, tiles, Kind::kRecords, schedule.blocks);
  if constexpr (!Kind::kStrided) choose_copies(limits, Kind::kDType, space);
  const auto shared = static_cast<std::size_t>(span_shared_bytes(space, Kind::kDType));
  const auto kernel = &spans_kernel<Op>;
  static KernelOfDevices of_devices;
  LOGSUM_RETURN_IF_ERROR(of_devices.prepare(kernel, limits, false));
  return launch_kernel(kernel, static_cast<unsigned>(schedule.blocks),
                       static_cast<unsigned>(schedule.threads), shared, context, call,
                       TileTemperature(call.temperature.value), space);
}

// A visit of `rows` output rows.
template <class Op>
Status launch(const typename Op::Call& call, std::int64_t rows, const Context& context) {
  using Kind = typename Op::Kind;
  DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(limits_of_device(limits));
  const VisitShape shape{rows,         tile_count(call.logits.columns),
                         Kind::kDType, Kind::kMoment,
                         Kind::kRaw,   !Kind::kStrided};
  VisitSchedule schedule;
  LOGSUM_RETURN_IF_ERROR(visit_schedule(limits, shape, context.schedule, schedule));
  if constexpr (!Kind::kStrided)
    if (schedule.kind == Schedule::clusters)
      return launch_clusters<Op>(call, rows, schedule.clusters, limits, context);
  return launch_spans<Op>(call, rows, schedule.spans, limits, context);
}

}  // namespace logsum::cuda
