// SPDX-License-Identifier: Apache-2.0
// CUDA's errors as Status, to which dispatch adds the operation's name. What is missing on this
// machine is `unsupported`.
#pragma once

#include <cuda_runtime_api.h>

#include <cstring>

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

// `what`: up to a parenthesis, so that of a call's text its function is told and not its arguments.
inline Status cuda_error(const char* what, cudaError_t error) noexcept {
  return Status::error(code_of(error), "%.*s: %s (%s)", static_cast<int>(std::strcspn(what, "(")),
                       what, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace logsum::cuda

#define LOGSUM_RETURN_IF_CUDA_ERROR(call)                                                      \
  do {                                                                                         \
    const cudaError_t logsum_error_ = (call);                                                  \
    if (logsum_error_ != cudaSuccess) return ::logsum::cuda::cuda_error(#call, logsum_error_); \
  } while (0)
