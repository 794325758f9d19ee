// SPDX-License-Identifier: Apache-2.0
// What is asked of a device, once per process: a call's host time is a decode step's.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "cuda/error.hpp"
#include "cuda/schedule.hpp"

namespace logsum::cuda {
namespace {

__global__ void whole_processor_kernel() {}

// How many clusters of each size run at once where each CTA has a processor to itself. The
// processors of a GPC don't divide evenly: 132 of an H200 have room for 15 clusters of 8.
Status find_clusters(DeviceLimits& limits) {
  const auto kernel = &whole_processor_kernel;
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limits.shared_per_block));
  LOGSUM_RETURN_IF_CUDA_ERROR(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  limits.clusters[0] = limits.processors;
  for (int i = 1; i < kClusterSizes; ++i) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {1u << i, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = 1u << i;
    config.blockDim = 32;
    config.dynamicSmemBytes = static_cast<std::size_t>(limits.shared_per_block);
    config.attrs = &attribute;
    config.numAttrs = 1;
    int most = 0;
    if (cudaOccupancyMaxActiveClusters(&most, kernel, &config) != cudaSuccess) {
      cudaGetLastError();  // a size that this GPU doesn't have
      most = 0;
    }
    limits.clusters[i] = most;
  }
  return {};
}

// A build whose newest code is PTX for an older GPU runs on a newer one as on that: the kernels
// were compiled without what the newer has, clusters among it. The code is for one GPU in all
// files, so any kernel tells; where there is none for this device, launches say so.
Status limit_to_code(DeviceLimits& limits) {
  cudaFuncAttributes code;
  const cudaError_t error = cudaFuncGetAttributes(&code, &whole_processor_kernel);
  if (error == cudaErrorNoKernelImageForDevice) {
    cudaGetLastError();  // or the next launch would be taken to have failed
    limits.capability = 0;
    return {};
  }
  if (error != cudaSuccess) return cuda_error("cudaFuncGetAttributes", error);
  limits.capability = std::min(limits.capability, code.ptxVersion);
  return {};
}

Status find_limits(int device, DeviceLimits& limits) {
  limits.device = device;
  int major = 0, minor = 0;
  const std::pair<cudaDeviceAttr, int*> attributes[] = {
      {cudaDevAttrMultiProcessorCount, &limits.processors},
      {cudaDevAttrComputeCapabilityMajor, &major},
      {cudaDevAttrComputeCapabilityMinor, &minor},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, &limits.shared_per_block}};
  for (const auto& [attribute, value] : attributes)
    LOGSUM_RETURN_IF_CUDA_ERROR(cudaDeviceGetAttribute(value, attribute, device));
  limits.capability = 10 * major + minor;
  LOGSUM_RETURN_IF_ERROR(limit_to_code(limits));
  return limits.capability >= 90 ? find_clusters(limits) : Status();
}

struct Known {
  std::atomic<bool> is_known = false;
  DeviceLimits limits;
};
constexpr int kMostKnown = 64;  // devices; others are asked each time
Known known[kMostKnown];
std::mutex finding;

}  // namespace

Status limits_of_device(DeviceLimits& limits) noexcept {
  int device = 0;
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaGetDevice(&device));
  if (device >= kMostKnown) return find_limits(device, limits);
  Known& mine = known[device];
  if (!mine.is_known.load(std::memory_order_acquire)) {
    const std::lock_guard lock(finding);
    if (!mine.is_known.load(std::memory_order_relaxed)) {
      DeviceLimits found;
      LOGSUM_RETURN_IF_ERROR(find_limits(device, found));
      mine.limits = found;
      mine.is_known.store(true, std::memory_order_release);
    }
  }
  limits = mine.limits;
  return {};
}

}  // namespace logsum::cuda
