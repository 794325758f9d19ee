// SPDX-License-Identifier: Apache-2.0
// What a kernel must be allowed once on each device before it is launched there with much shared
// memory or in large clusters. Asked at every call it would be microseconds of host time.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>

#include "cuda/error.hpp"
#include "cuda/schedule.hpp"

namespace logsum::cuda {

// Of one kernel.
class KernelOfDevices {
 public:
  // On the current device, whose limits these are.
  template <class Kernel>
  Status prepare(Kernel* kernel, const DeviceLimits& limits, bool in_clusters) noexcept {
    const std::uint64_t bit = limits.device < 64 ? std::uint64_t{1} << limits.device : 0;
    if ((prepared_.load(std::memory_order_acquire) & bit) != 0) return {};
    cudaFuncAttributes attributes;
    LOGSUM_RETURN_IF_CUDA_ERROR(cudaFuncGetAttributes(&attributes, kernel));
    const int most = limits.shared_per_block - static_cast<int>(attributes.sharedSizeBytes);
    LOGSUM_RETURN_IF_CUDA_ERROR(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
    if (in_clusters)
      LOGSUM_RETURN_IF_CUDA_ERROR(
          cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    prepared_.fetch_or(bit, std::memory_order_release);
    return {};
  }

 private:
  std::atomic<std::uint64_t> prepared_{0};  // a bit per device
};

}  // namespace logsum::cuda
