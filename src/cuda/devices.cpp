// SPDX-License-Identifier: Apache-2.0
#include "logsum/devices.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "cuda/device.hpp"
#include "cuda/error.hpp"
#include "cuda/schedule.hpp"

namespace logsum {

CudaInfo cuda_info() noexcept {
  CudaInfo info{.compiled = true, .runtime = CUDART_VERSION};
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess) info.driver = driver;
  if (cudaGetDeviceCount(&count) == cudaSuccess) info.device_count = count;
  return info;
}

Status cuda_device(std::int32_t index, DeviceInfo& info) noexcept {
  std::int32_t count = 0;
  LOGSUM_RETURN_IF_ERROR(cuda::count_devices(count));
  if (index < 0 || index >= count)
    return Status::error(StatusCode::invalid_argument, "GPU %d isn't there, must be in [0, %d]",
                         index, count - 1);
  std::int32_t previous = 0;
  LOGSUM_RETURN_IF_ERROR(cuda::enter_device(index, previous));
  cuda::DeviceLimits limits;
  const Status asked = cuda::limits_of_device(limits);
  cuda::leave_device(index, previous);
  LOGSUM_RETURN_IF_ERROR(asked);
  cudaDeviceProp found;
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaGetDeviceProperties(&found, index));
  std::snprintf(info.name, sizeof info.name, "%s", found.name);
  info.capability = 10 * found.major + found.minor;
  info.multiprocessors = limits.processors;
  info.shared_bytes_per_block = limits.shared_per_block;
  std::copy(std::begin(limits.clusters), std::end(limits.clusters), info.clusters);
  info.l2_bytes = static_cast<std::size_t>(found.l2CacheSize);
  info.memory_bytes = found.totalGlobalMem;
  return {};
}

}  // namespace logsum
