// SPDX-License-Identifier: Apache-2.0
// The mean of values whose sum is known: 0 of none.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace logsum {

LOGSUM_HOST_DEVICE inline float mean_of(double sum, std::int64_t count) {
  return count > 0 ? static_cast<float>(sum / static_cast<double>(count)) : 0.0f;
}

}  // namespace logsum
