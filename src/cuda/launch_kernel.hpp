// SPDX-License-Identifier: Apache-2.0
// A launch whose error is its own: cudaGetLastError would also report what the caller's calls left.
#pragma once

#include <cuda_runtime.h>

#include <span>

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

struct LaunchShape {
  dim3 blocks;
  unsigned threads;
  std::size_t shared_bytes = 0;
};

template <class... Parameters, class... Arguments>
Status launch_with(std::span<cudaLaunchAttribute> attributes, void (*kernel)(Parameters...),
                   const LaunchShape& shape, const Context& context,
                   const Arguments&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.blocks;
  config.blockDim = shape.threads;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(context.stream);
  config.attrs = attributes.data();
  config.numAttrs = static_cast<unsigned>(attributes.size());
  LOGSUM_RETURN_IF_CUDA_ERROR(cudaLaunchKernelEx(&config, kernel, arguments...));
  return {};
}

template <class... Parameters, class... Arguments>
Status launch_kernel(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                     std::size_t shared_bytes, const Context& context,
                     const Arguments&... arguments) {
  return launch_with({}, kernel, {blocks, threads, shared_bytes}, context, arguments...);
}

// The same of a kernel that begins with wait_for_kernel_before(): a microsecond less after one that
// lets it, where the GPU can that.
template <class... Parameters, class... Arguments>
Status launch_early(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                    const Context& context, const Arguments&... arguments) {
  DeviceLimits limits;
  LOGSUM_RETURN_IF_ERROR(limits_of_device(limits));
  cudaLaunchAttribute attribute = begins_early();
  const std::size_t attributes = limits.capability >= 90;
  return launch_with({&attribute, attributes}, kernel, {blocks, threads}, context, arguments...);
}

}  // namespace logsum::cuda
