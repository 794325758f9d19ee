// SPDX-License-Identifier: Apache-2.0
#include "logsum/devices.hpp"

#include <cuda_runtime_api.h>

#include <cstdio>

#include "cuda/error.hpp"

namespace logsum {

CudaInfo cuda_info() noexcept {
  CudaInfo info{.compiled = true, .runtime = CUDART_VERSION};
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess) info.driver = driver;
  if (cudaGetDeviceCount(&count) == cudaSuccess) info.device_count = count;
  return info;
}

Status cuda_device(std::int32_t index, DeviceInfo& info) noexcept {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return Status::error(StatusCode::unsupported, "no NVIDIA driver on this machine");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return Status::error(StatusCode::unsupported, "the driver finds no GPU");
  if (error == cudaErrorInsufficientDriver)
    return Status::error(
        StatusCode::unsupported, "the driver is for CUDA %d.%d, this build needs one for %d.%d",
        driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  if (error != cudaSuccess) return cuda::cuda_error("looking for GPUs", error);
  if (index < 0 || index >= count)
    return Status::error(StatusCode::invalid_argument, "GPU %d isn't there, must be in [0, %d]",
                         index, count - 1);
  cudaDeviceProp found;
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaGetDeviceProperties(&found, index));
  std::snprintf(info.name, sizeof info.name, "%s", found.name);
  info.capability = 10 * found.major + found.minor;
  info.multiprocessors = found.multiProcessorCount;
  info.shared_bytes_per_block = static_cast<std::int32_t>(found.sharedMemPerBlockOptin);
  info.l2_bytes = static_cast<std::size_t>(found.l2CacheSize);
  info.memory_bytes = found.totalGlobalMem;
  return {};
}

}  // namespace logsum
