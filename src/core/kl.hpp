// SPDX-License-Identifier: Apache-2.0
// Estimates of KL from two log-probs of a token.
#pragma once

#include <cmath>
#include <limits>

#include "core/host_device.hpp"
#include "core/portable_exp.hpp"

namespace logsum {

// A token's estimates, in f64.
struct KlEstimates {
  double k1, k2, k3;

  LOGSUM_HOST_DEVICE KlEstimates(float logp, float ref_logp) {
    const double d = static_cast<double>(ref_logp) - static_cast<double>(logp);
    k1 = static_cast<double>(logp) - static_cast<double>(ref_logp);  // not −d: no −0
    k2 = 0.5 * d * d;
    k3 = exp_minus_x_minus_1(d);
  }
};

// k3 beyond f32 though both log-probs are finite.
LOGSUM_HOST_DEVICE inline bool is_overflow(float k3, float logp, float ref_logp) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  return k3 == kInf && std::fabs(logp) < kInf && std::fabs(ref_logp) < kInf;
}

}  // namespace logsum
