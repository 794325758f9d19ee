// SPDX-License-Identifier: Apache-2.0
// The logistic function and its logarithm in f64, with relative accuracy at both ends, by IEEE
// operations only (portable_exp.hpp). Arguments may be infinite, not NaN.
#pragma once

#include "core/portable_exp.hpp"

namespace logsum {

// ln(1 + y) for y in [0, 1]. 1 + y is rounded; the quotient puts back what that takes.
LOGSUM_HOST_DEVICE inline double portable_log1p(double y) {
  const double u = 1 + y;
  return u == 1 ? y : portable_log(u) * (y / (u - 1));
}

// e^x − 1.
LOGSUM_HOST_DEVICE inline double portable_expm1(double x) {
  return std::fabs(x) > 0.5 ? portable_exp(x) - 1 : exp_minus_x_minus_1(x) + x;
}

// ln(1 + e^x) = −ln σ(−x).
LOGSUM_HOST_DEVICE inline double softplus(double x) {
  return (x > 0 ? x : 0) + portable_log1p(portable_exp(-std::fabs(x)));
}

// σ(x) = 1/(1 + e^−x).
LOGSUM_HOST_DEVICE inline double sigmoid(double x) {
  const double e = portable_exp(-std::fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

}  // namespace logsum
