// SPDX-License-Identifier: Apache-2.0
// e^d − d − 1 with relative accuracy for every d, by IEEE operations only, so that every machine
// returns the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/host_device.hpp"
#include "core/measure.hpp"

namespace logsum {

// With d = k·ln 2 + r, |r| ≤ ½·ln 2: the series of e^r − r − 1 = r²/2 + r³/6 + …, whose terms
// cancel nothing. k = 0 is the answer itself; elsewhere |d| > ½·ln 2, and the rest may be added
// plainly. Error below 2^-46 relative; never negative.
LOGSUM_HOST_DEVICE inline double exp_minus_d_minus_1(double d) {
  if (d != d) return d;
  if (d > 709) return std::numeric_limits<double>::infinity();
  if (d < -1000) return -1 - d;
  constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: k times it is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double k = std::rint(d * kLog2e);
  const double r = (d - k * kLn2High) - k * kLn2Low;
  double series = 0;
  for (int i = 14; i >= 2; --i) series = (1.0 + r * series) * (1.0 / i);
  const double q = r * r * series;
  if (k == 0) return q;
  const double scale = std::ldexp(1.0, static_cast<int>(k));
  return (scale * (r + q) + (scale - 1)) - d;
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
