// SPDX-License-Identifier: Apache-2.0
// CUDA's errors as Status, to which dispatch adds the operation's name. What is missing on this
// machine is `unsupported`.
#pragma once

#include <cuda_runtime_api.h>

#include "logsum/status.hpp"

namespace logsum::cuda {

inline StatusCode code_of(cudaError_t error) noexcept {
  switch (error) {
    case cudaErrorMemoryAllocation: return StatusCode::out_of_memory;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorStubLibrary: return StatusCode::unsupported;
    default: return StatusCode::internal;
  }
}

inline Status cuda_error(const char* what, cudaError_t error) noexcept {
  return Status::error(code_of(error), "%s: %s", what, cudaGetErrorString(error));
}

}  // namespace logsum::cuda

#define LOGSUM_RETURN_IF_CUDA_ERROR(call)                                                      \
  do {                                                                                         \
    const cudaError_t logsum_error_ = (call);                                                  \
    if (logsum_error_ != cudaSuccess) return ::logsum::cuda::cuda_error(#call, logsum_error_); \
  } while (0)
