// SPDX-License-Identifier: Apache-2.0
// e^d − d − 1 with relative accuracy for every d, by IEEE operations only, so that every machine
// returns the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/host_device.hpp"
#include "core/portable_exp.hpp"

namespace logsum {

// k = 0: q is the answer itself; elsewhere |d| > ½·ln 2, and the rest may be added plainly. Error
// below 2^-46 relative; never negative.
LOGSUM_HOST_DEVICE inline double exp_minus_d_minus_1(double d) {
  if (d != d) return d;
  if (d > 709) return std::numeric_limits<double>::infinity();
  if (d < -1000) return -1 - d;
  const ReducedExp e(d);
  if (e.k == 0) return e.q;
  const double scale = std::ldexp(1.0, static_cast<int>(e.k));
  return (scale * (e.r + e.q) + (scale - 1)) - d;
}

// A token's estimates, in f64.
struct KlEstimates {
  double k1, k2, k3;

  LOGSUM_HOST_DEVICE KlEstimates(float logp, float ref_logp) {
    const double d = static_cast<double>(ref_logp) - static_cast<double>(logp);
    k1 = static_cast<double>(logp) - static_cast<double>(ref_logp);  // not −d: no −0
    k2 = 0.5 * d * d;
    k3 = exp_minus_d_minus_1(d);
  }
};

// k3 beyond f32 though both log-probs are finite.
LOGSUM_HOST_DEVICE inline bool is_overflow(float k3, float logp, float ref_logp) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  return k3 == kInf && std::fabs(logp) < kInf && std::fabs(ref_logp) < kInf;
}

}  // namespace logsum
