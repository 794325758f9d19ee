// SPDX-License-Identifier: Apache-2.0
// Launches of the ring visit, where tensors, rows and the GPU suit it.
#pragma once

#include <initializer_list>

#include "cuda/device/visit_rings.cuh"
#include "cuda/error.hpp"
#include "cuda/kernel_of_devices.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/schedule.hpp"
#include "cuda/vectors.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {

template <class Op>
__global__ __launch_bounds__(RingMemory<Op>::kThreads,
                             1) void rings_kernel(const __grid_constant__ typename Op::Call call,
                                                  const __grid_constant__ TileTemperature scalar,
                                                  const __grid_constant__ RingSpace space) {
  if constexpr (kHasBulkCopies) visit_rings<Op>(call, scalar, space);
}

// Launches if rings suit the call and the context wants them: `launched`. An error where they are
// forced and don't. `before`: what is launched before them.
template <class Op, class Before>
Status launch_rings(const typename Op::Call& call, float temperature,
                    std::initializer_list<const RowsView*> views, const Context& context,
                    bool& launched, const Before& before) {
  launched = false;
  if (context.schedule != Schedule::automatic && context.schedule != Schedule::rings) return {};
  DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(limits_of_device(limits));
  const RowsView& rows = Op::input(call, 0);
  constexpr RingCost kCost = RingMemory<Op>::kCost;
  RingSpace space;
  bool is_best = false;
  if (!have_vectors(views) ||
      !ring_schedule(limits, rows.rows, rows.columns, kCost, space, is_best)) {
    if (context.schedule == Schedule::automatic) return {};
    return Status::error(StatusCode::unsupported,
                         "schedule: rings want compute capability 9.0, tensors of one dtype whose "
                         "rows are contiguous, begin at multiples of 16 bytes and fit in 8 SMs");
  }
  if (!is_best && context.schedule == Schedule::automatic) return {};
  const auto kernel = &rings_kernel<Op>;
  static KernelOfDevices of_devices;
  LOGSUM_RETURN_IF_ERROR(of_devices.prepare(kernel, limits, false));
  LOGSUM_RETURN_IF_ERROR(before());
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(space.blocks), 1, 1};
  attributes[1] = begins_early();
  // Prepared by a kernel that lets it begin early. Others come first: they wait for the caller's.
  const std::size_t used = Op::kIsPrepared ? 2 : 1;
  LOGSUM_RETURN_IF_ERROR(
      launch_with({attributes, used}, kernel,
                  {static_cast<unsigned>(ring_blocks(limits, space)), RingMemory<Op>::kThreads,
                   static_cast<std::size_t>(space.bytes)},
                  context, call, TileTemperature(temperature), space));
  launched = true;
  return {};
}

template <class Op>
Status launch_rings(const typename Op::Call& call, float temperature,
                    std::initializer_list<const RowsView*> views, const Context& context,
                    bool& launched) {
  return launch_rings<Op>(call, temperature, views, context, launched, [] { return Status(); });
}

}  // namespace logsum::cuda
