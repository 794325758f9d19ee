// SPDX-License-Identifier: Apache-2.0
// group_advantages on the GPU: a warp per group, one launch; under batch scaling three, for the
// batch's deviation needs every group's measure before any advantage is written.
#include "ops/group_advantages.hpp"

#include "core/backend.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/device/lane_sums.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/scratch.hpp"

namespace logsum::cuda {
namespace {

constexpr int kGroupsPerBlock = kGridThreads / kWarp;

__device__ __forceinline__ void write(const GroupAdvantagesPlan& plan, std::int64_t group,
                                      const GroupMeasure& measure, double deviation) {
  const double divisor = plan.divisor(deviation);
  for (std::int64_t i = warp_lane(); i < plan.size; i += kWarp)
    plan.write_sample(group, i, measure, divisor);
  if (warp_lane() == 0) plan.write_group(group, measure);
}

__global__ __launch_bounds__(kGridThreads) void groups_kernel(
    const __grid_constant__ GroupAdvantagesPlan plan) {
  each_by_warp(plan.groups, [&](std::int64_t group) {
    const GroupMeasure measure = plan.measure(group, WarpLanes());
    write(plan, group, measure, measure.deviation());
  });
}

__global__ __launch_bounds__(kGridThreads) void measure_kernel(
    const __grid_constant__ GroupAdvantagesPlan plan, GroupMeasure* measures) {
  each_by_warp(plan.groups, [&](std::int64_t group) {
    const GroupMeasure measure = plan.measure(group, WarpLanes());
    if (warp_lane() == 0) measures[group] = measure;
  });
}

// The batch's measure goes behind those of the groups.
__global__ __launch_bounds__(kBlockLanes) void batch_kernel(
    const __grid_constant__ GroupAdvantagesPlan plan, GroupMeasure* measures) {
  const GroupMeasure batch = plan.measure_batch(measures, BlockLanes());
  if (threadIdx.x == 0) measures[plan.groups] = batch;
}

__global__ __launch_bounds__(kGridThreads) void write_kernel(
    const __grid_constant__ GroupAdvantagesPlan plan, const GroupMeasure* measures) {
  const double deviation = measures[plan.groups].deviation();
  each_by_warp(plan.groups,
               [&](std::int64_t group) { write(plan, group, measures[group], deviation); });
}

}  // namespace

Status group_advantages(const GroupAdvantagesPlan& plan, const Context& context) {
  const unsigned blocks = grid_for(plan.groups, kGroupsPerBlock);
  if (plan.scale != AdvantageScale::batch)
    return launch_kernel(groups_kernel, blocks, kGridThreads, 0, context, plan);
  const std::size_t bytes = static_cast<std::size_t>(plan.groups + 1) * sizeof(GroupMeasure);
  const DeviceScratch scratch(kSpanCounterBytes + bytes, DeviceScratch::Counters::unused, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  auto* const measures = scratch.at<GroupMeasure>(kSpanCounterBytes);
  LOGSUM_RETURN_IF_ERROR(
      launch_kernel(measure_kernel, blocks, kGridThreads, 0, context, plan, measures));
  LOGSUM_RETURN_IF_ERROR(launch_kernel(batch_kernel, 1, kBlockLanes, 0, context, plan, measures));
  return launch_kernel(write_kernel, blocks, kGridThreads, 0, context, plan, measures);
}

}  // namespace logsum::cuda
