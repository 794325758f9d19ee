// SPDX-License-Identifier: Apache-2.0
// e^x in f64 by IEEE operations only, so that every machine returns the same bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/host_device.hpp"
#include "core/measure.hpp"

namespace logsum {

// e^x = 2^k·(1 + r + q) with x = k·ln 2 + r, |r| ≤ ½·ln 2, and q the series of e^r − r − 1 = r²/2 +
// r³/6 + …, whose terms cancel nothing. For |x| ≤ 1000.
struct ReducedExp {
  double k, r, q;

  LOGSUM_HOST_DEVICE explicit ReducedExp(double x) {
    constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: k times it is exact
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    k = std::rint(x * kLog2e);
    r = (x - k * kLn2High) - k * kLn2Low;
    double series = 0;
    for (int i = 14; i >= 2; --i) series = (1.0 + r * series) * (1.0 / i);
    q = r * r * series;
  }
};

// 2^k for a normal result.
LOGSUM_HOST_DEVICE inline double power_of_two(int k) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + k) << 52);
}

// Error below 1e-15 relative, 2^-1074 where the result is subnormal. Exactly 1 at 0; +∞ and 0
// beyond what f64 holds; NaN stays NaN.
LOGSUM_HOST_DEVICE inline double portable_exp(double x) {
  if (x != x) return x;
  if (x > 710) return std::numeric_limits<double>::infinity();
  if (x < -746) return 0;
  const ReducedExp e(x);
  // Two factors: 2^k itself may be out of range, and only the last product rounds.
  const int k = static_cast<int>(e.k), half = k / 2;
  return (1 + (e.r + e.q)) * power_of_two(half) * power_of_two(k - half);
}

}  // namespace logsum
