// SPDX-License-Identifier: Apache-2.0
#include "cuda/device.hpp"

#include "cuda/error.hpp"

namespace logsum::cuda {

bool is_available() noexcept {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

Status enter_device(std::int32_t index, std::int32_t& previous) noexcept {
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaGetDevice(&previous));
  if (previous == index) return {};
  const cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // or the next launch would be taken to have failed
  const StatusCode code =
      error == cudaErrorInvalidDevice ? StatusCode::unsupported : code_of(error);
  return Status::error(code, "CUDA device %d: %s", index, cudaGetErrorString(error));
}

void leave_device(std::int32_t index, std::int32_t previous) noexcept {
  if (previous != index) cudaSetDevice(previous);
}

}  // namespace logsum::cuda
