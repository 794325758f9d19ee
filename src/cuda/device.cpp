// SPDX-License-Identifier: Apache-2.0
#include "cuda/device.hpp"

#include "cuda/error.hpp"

namespace logsum::cuda {

bool is_available() noexcept {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

Status count_devices(std::int32_t& count) noexcept {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return Status::error(StatusCode::unsupported, "no NVIDIA driver on this machine");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return Status::error(StatusCode::unsupported, "the driver finds no GPU");
  if (error == cudaErrorInsufficientDriver)
    return Status::error(
        StatusCode::unsupported, "the driver is for CUDA %d.%d, this build needs one for %d.%d",
        driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  if (error != cudaSuccess) return cuda_error("looking for GPUs", error);
  return {};
}

Status enter_device(std::int32_t index, std::int32_t& previous) noexcept {
  if (const cudaError_t error = cudaGetDevice(&previous); error != cudaSuccess) {
    std::int32_t count = 0;
    LOGSUM_RETURN_IF_ERROR(count_devices(count));
    return cuda_error("asking for the current device", error);
  }
  if (previous == index) return {};
  const cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // or the next launch would be taken to have failed
  const StatusCode code =
      error == cudaErrorInvalidDevice ? StatusCode::unsupported : code_of(error);
  return Status::error(code, "CUDA device %d: %s (%s)", index, cudaGetErrorString(error),
                       cudaGetErrorName(error));
}

void leave_device(std::int32_t index, std::int32_t previous) noexcept {
  if (previous != index) cudaSetDevice(previous);
}

}  // namespace logsum::cuda
