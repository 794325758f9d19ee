// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include "cuda/error.hpp"
#include "cuda/schedule.hpp"

namespace logsum::cuda {

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

}  // namespace logsum::cuda
