// SPDX-License-Identifier: Apache-2.0
// A launch whose error is its own: cudaGetLastError would also report what the caller's calls left.
#pragma once

#include <cuda_runtime.h>

#include "cuda/error.hpp"
#include "cuda/schedule.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {

// May begin before the kernel before ends (programmatic dependent launch).
inline cudaLaunchAttribute begins_early() {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  return attribute;
}

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

// The same of a kernel that begins with wait_for_kernel_before(): a microsecond less after one that
// lets it, where the GPU can that.
template <class... Parameters, class... Arguments>
Status launch_early(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                    const Context& context, const Arguments&... arguments) {
  DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(limits_of_device(limits));
  cudaLaunchAttribute attribute = begins_early();
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.stream = static_cast<cudaStream_t>(context.stream);
  config.attrs = &attribute;
  config.numAttrs = limits.capability >= 90;
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaLaunchKernelEx(&config, kernel, arguments...));
  return {};
}

}  // namespace logsum::cuda
