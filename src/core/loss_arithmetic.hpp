// SPDX-License-Identifier: Apache-2.0
// What losses take differences and products of may be infinite, or count for nothing.
#pragma once

#include "core/host_device.hpp"

namespace logsum {

// a − b; 0 where they are equal, both −∞ too.
LOGSUM_HOST_DEVICE inline double log_difference(double a, double b) { return a == b ? 0 : a - b; }

// 0 where either is, whatever the other is.
LOGSUM_HOST_DEVICE inline double product(double a, double b) {
  return a == 0 || b == 0 ? 0 : a * b;
}

}  // namespace logsum
