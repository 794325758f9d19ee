// SPDX-License-Identifier: Apache-2.0
// What the gradient of a softmax subtracts in a row, as two f32 that hold a f64: g − high − low
// then loses nothing where g and the sum nearly cancel.
#pragma once

#include "core/host_device.hpp"

namespace logsum {

struct RowSum {
  float high, low;
  float inverse_t;

  LOGSUM_HOST_DEVICE RowSum(double sum, float temperature)
      : high(static_cast<float>(sum)),
        low(static_cast<float>(sum - static_cast<double>(high))),
        inverse_t(1.0f / temperature) {}
};

}  // namespace logsum
