// SPDX-License-Identifier: Apache-2.0
// importance_weights on the GPU: a CTA per sequence, one launch; where statistics are asked for a
// second one adds the sequences' sums, as their order is fixed too.
#include "ops/importance_weights.hpp"

#include "core/backend.hpp"
#include "cuda/device/lane_sums.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/scratch.hpp"

namespace logsum::cuda {
namespace {

// `sums` is null where nobody wants them.
__global__ __launch_bounds__(kBlockLanes) void ranges_kernel(
    const __grid_constant__ ImportanceWeightsPlan plan, WeightSums* sums) {
  const std::int64_t ranges = plan.sequences.ranges();
  for (std::int64_t range = blockIdx.x; range < ranges; range += gridDim.x) {
    const WeightSums of_range = plan.write_range(range, BlockLanes());
    if (sums != nullptr && threadIdx.x == 0) sums[range] = of_range;
  }
}

__global__ __launch_bounds__(kBlockLanes) void statistics_kernel(
    const __grid_constant__ ImportanceWeightsPlan plan, const WeightSums* sums) {
  const WeightSums total =
      BlockLanes()(plan.sequences.ranges(), [&](std::int64_t range) { return sums[range]; });
  if (threadIdx.x == 0) plan.write_statistics(total);
}

}  // namespace

Status importance_weights(const ImportanceWeightsPlan& plan, const Context& context) {
  const std::int64_t ranges = plan.sequences.ranges();
  const unsigned blocks = grid_for(ranges, 1);
  WeightSums* const unwanted = nullptr;
  if (!plan.has_statistics())
    return launch_kernel(ranges_kernel, blocks, kBlockLanes, 0, context, plan, unwanted);
  const DeviceScratch scratch(
      kSpanCounterBytes + static_cast<std::size_t>(ranges) * sizeof(WeightSums),
      DeviceScratch::Counters::unused, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  auto* const sums = scratch.at<WeightSums>(kSpanCounterBytes);
  LOGSUM_RETURN_IF_ERROR(launch_kernel(ranges_kernel, blocks, kBlockLanes, 0, context, plan, sums));
  return launch_kernel(statistics_kernel, 1, kBlockLanes, 0, context, plan, sums);
}

}  // namespace logsum::cuda
