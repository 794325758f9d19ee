// SPDX-License-Identifier: Apache-2.0
// In place of cuda/devices.cpp in a build without the CUDA backend.
#include "logsum/devices.hpp"

namespace logsum {

CudaInfo cuda_info() noexcept { return {}; }

Status cuda_device(std::int32_t, DeviceInfo&) noexcept {
  return Status::error(StatusCode::unsupported,
                       "this build has no CUDA backend (it is built with -DLOGSUM_CUDA=ON)");
}

}  // namespace logsum
