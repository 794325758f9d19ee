// SPDX-License-Identifier: Apache-2.0
// The three usual estimates of KL(policy || reference) from one token's log-probs (Schulman 2020):
// unbiased but noisy, of low variance but biased, and unbiased and never negative.
#pragma once

#include <cmath>

namespace logsum::cli {

struct ApproxKl {
  float k1, k2, k3;
};

inline ApproxKl approx_kl(float logprob, float ref_logprob) {
  const double d = static_cast<double>(logprob) - static_cast<double>(ref_logprob);
  // expm1: near d = 0 the plain form would subtract nearly equal numbers.
  return {static_cast<float>(d), static_cast<float>(d * d / 2),
          static_cast<float>(std::expm1(-d) + d)};
}

}  // namespace logsum::cli
