// SPDX-License-Identifier: Apache-2.0
// The kernels of an operation that visits rows.
#pragma once

#include "cuda/device/visit_clusters.cuh"
#include "cuda/device/visit_spans.cuh"

namespace logsum::cuda {

template <class Op>
__global__ __launch_bounds__(span_threads(Op::Kind::kDType),
                             1) void spans_kernel(const __grid_constant__ typename Op::Call call,
                                                  const __grid_constant__ TileTemperature scalar,
                                                  const __grid_constant__ SpanSpace space) {
  visit_spans<Op>(call, scalar, space);
}

// 96 registers: what spills into local memory comes back from L2, as shared memory leaves L1 little
// room.
template <class Op>
__global__ __launch_bounds__(cluster_threads(kMostClusterGroups),
                             1) void clusters_kernel(const __grid_constant__ typename Op::Call call,
                                                     const __grid_constant__ TileTemperature scalar,
                                                     const __grid_constant__ ClusterSpace space) {
  visit_clusters<Op>(call, scalar, space);
}

}  // namespace logsum::cuda
