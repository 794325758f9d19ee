// SPDX-License-Identifier: Apache-2.0
// What becomes of a column's exponential where a loss looks at columns one by one: label smoothing
// takes a share per class weight away, and a softcap has a slope.
#pragma once

#include "core/softcap.hpp"

namespace logsum {

struct ColumnGradient {
  Softcap softcap;
  float per_weight = 0;

  // `exponential`: (s − g)·p. `z`: the logit as it is stored.
  LOGSUM_HOST_DEVICE float operator()(float exponential, float z, float weight) const {
    const float value = exponential - per_weight * weight;
    return softcap.cap != 0 ? value * softcap.slope(z) : value;
  }
  // `value`: dz of the target but for these.
  LOGSUM_HOST_DEVICE float at_target(double value, float z, double weight) const {
    const double less = value - static_cast<double>(per_weight) * weight;
    return static_cast<float>(softcap.cap != 0 ? less * static_cast<double>(softcap.slope(z))
                                               : less);
  }
};

}  // namespace logsum
