// SPDX-License-Identifier: Apache-2.0
#include "cuda/schedule.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "cuda/error.hpp"

namespace logsum::cuda {
namespace {

// Static shared memory of a cluster's CTA (its table of records and barriers) and what the driver
// keeps, rounded up.
constexpr int kStaticShared = 8 * 1024;

}  // namespace

Status limits_of_device(DeviceLimits& limits) noexcept {
  int device = 0, major = 0, minor = 0;
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaGetDevice(&device));
  const auto get = [device](cudaDeviceAttr attribute, int& value) {
    return cudaDeviceGetAttribute(&value, attribute, device);
  };
  LOGSUM_RETURN_IF_CUDA_ERROR(get(cudaDevAttrMultiProcessorCount, limits.processors));
  LOGSUM_RETURN_IF_CUDA_ERROR(get(cudaDevAttrComputeCapabilityMajor, major));
  LOGSUM_RETURN_IF_CUDA_ERROR(get(cudaDevAttrComputeCapabilityMinor, minor));
  LOGSUM_RETURN_IF_CUDA_ERROR(
      get(cudaDevAttrMaxSharedMemoryPerBlockOptin, limits.shared_per_block));
  limits.capability = 10 * major + minor;
  return {};
}

bool cluster_schedule(const DeviceLimits& limits, std::int64_t rows, std::int64_t tiles,
                      DType dtype, int lane_bytes, ClusterSchedule& schedule) noexcept {
  if (tiles > kMostClusterTiles || rows > limits.processors) return false;
  const bool has_clusters = limits.capability >= 90;
  // As many CTAs per row as leave room for all rows at once. Eight is what every GPU with clusters
  // grants; the CTAs of a processor group don't divide evenly, so a full GPU would wait for one.
  int blocks = 1;
  while (has_clusters && blocks < 8 && 2 * blocks * rows <= limits.processors &&
         blocks * 2 <= tiles)
    blocks *= 2;
  const auto per_block = static_cast<int>((tiles + blocks - 1) / blocks);
  const int rounds = (per_block + kMostClusterGroups - 1) / kMostClusterGroups;
  schedule.overlaps = has_clusters;
  schedule.blocks = blocks;
  schedule.groups = (per_block + rounds - 1) / rounds;
  return dynamic_shared(schedule, dtype, lane_bytes) <= limits.shared_per_block - kStaticShared;
}

}  // namespace logsum::cuda
