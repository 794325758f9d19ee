// SPDX-License-Identifier: Apache-2.0
// GPUs of this machine. Needs nothing of CUDA's headers: the backend table includes it.
#pragma once

#include <cstdint>

#include "logsum/status.hpp"

namespace logsum::cuda {

bool is_available() noexcept;

// How many GPUs there are, at least one; or which is missing, a driver, one that is new enough, or
// any GPU.
Status count_devices(std::int32_t& count) noexcept;

// The tensors' device for the length of a call, and back to what the caller had.
Status enter_device(std::int32_t index, std::int32_t& previous) noexcept;
void leave_device(std::int32_t index, std::int32_t previous) noexcept;

}  // namespace logsum::cuda
