// SPDX-License-Identifier: Apache-2.0
// e^x in f64 by IEEE operations only, so that every machine returns the same bits (libm's differ),
// and its difference from its first terms with relative accuracy.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/host_device.hpp"
#include "core/measure.hpp"

namespace logsum {

// 2^k for a normal result.
LOGSUM_HOST_DEVICE inline double two_to(int k) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + k) << 52);
}

// x = k·ln 2 + r, |r| ≤ ½·ln 2, and q = e^r − r − 1: e^x = 2^k·(1 + r + q). For |x| ≤ 1000.
struct ReducedExp {
  int k;
  double r, q;

  // The series Σ r^i/i! from i = 2 to 13, pairs first: a chain of six steps instead of twelve.
  LOGSUM_HOST_DEVICE explicit ReducedExp(double x) {
    constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: k times it is exact
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    const double multiple = std::rint(x * kLog2e);
    k = static_cast<int>(multiple);
    r = (x - multiple * kLn2High) - multiple * kLn2Low;
    const double r2 = r * r, r4 = r2 * r2;
    const double a = std::fma(r, 1.0 / 6, 0.5), b = std::fma(r, 1.0 / 120, 1.0 / 24);
    const double c = std::fma(r, 1.0 / 5040, 1.0 / 720);
    const double d = std::fma(r, 1.0 / 362880, 1.0 / 40320);
    const double e = std::fma(r, 1.0 / 39916800, 1.0 / 3628800);
    const double f = std::fma(r, 1.0 / 6227020800, 1.0 / 479001600);
    const double low = std::fma(r2, b, a), middle = std::fma(r2, d, c), high = std::fma(r2, f, e);
    q = r2 * std::fma(r4, std::fma(r4, high, middle), low);
  }
};

// Where 2^k isn't a normal number. Two factors, so that only the last product rounds.
LOGSUM_HOST_DEVICE LOGSUM_DEVICE_NOINLINE inline double exp_near_its_ends(double x) {
  if (x > 710) return std::numeric_limits<double>::infinity();
  if (x < -746) return 0;
  const ReducedExp e(x);
  const int half = e.k / 2;
  return (1 + (e.r + e.q)) * two_to(half) * two_to(e.k - half);
}

// e^x: error below 1e-15 relative, 2^-1074 where the result is subnormal. Exactly 1 at 0; +∞ and 0
// beyond what f64 holds; NaN stays NaN.
// `rest`: e^x − x − 1 instead, within 2^-46 relative, never negative. One function, so that a GPU's
// threads may make both side by side.
LOGSUM_HOST_DEVICE inline double exp_or_rest(double x, bool rest) {
  if (x != x) return x;
  if (std::fabs(x) > 708) return rest && x < 0 ? -1 - x : exp_near_its_ends(x);
  const ReducedExp e(x);
  if (rest && e.k == 0) return e.q;
  const double scale = two_to(e.k), above = scale * (e.r + e.q);
  return rest ? (above + (scale - 1)) - x : above + scale;
}
LOGSUM_HOST_DEVICE inline double portable_exp(double x) { return exp_or_rest(x, false); }
LOGSUM_HOST_DEVICE inline double exp_minus_x_minus_1(double x) { return exp_or_rest(x, true); }

}  // namespace logsum
