// SPDX-License-Identifier: Apache-2.0
// A launch whose error is its own: cudaGetLastError would also report what the caller's calls left.
#pragma once

#include <cuda_runtime.h>

#include "cuda/error.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {

template <class... Parameters, class... Arguments>
Status launch_kernel(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                     std::size_t shared_bytes, const Context& context,
                     const Arguments&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(context.stream);
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaLaunchKernelEx(&config, kernel, arguments...));
  return {};
}

}  // namespace logsum::cuda
