// SPDX-License-Identifier: Apache-2.0
// Exponentials of a row's logits times a factor of the row, as emission writes them:
//
//   at_center · 2^((z − center)·c),   c = log2(e)/T
//
// softmax: center is the row's maximum, at_center its probability. The gradient of logsumexp:
// lse·T and g/T. For ordinary rows in f32 with the integer reference n of the measure, but c to 48
// bits: the rounding of c to f32 alone would cost 5e-6 of a probability of 1e-38.
#pragma once

#include <algorithm>
#include <limits>

#include "core/measure.hpp"

namespace logsum {

// x = value·2^exponent, value in ±[1, 2), of a finite x that isn't 0. By bits: a GPU takes 80
// instructions for ilogb and ldexp, and one warp waits for them in every row.
struct Normalized {
  double value;
  int exponent;

  LOGSUM_HOST_DEVICE explicit Normalized(double x) {
    const bool is_subnormal = std::fabs(x) < 0x1p-1022;
    const auto bits = std::bit_cast<std::uint64_t>(is_subnormal ? x * 0x1p60 : x);
    exponent = static_cast<int>(bits >> 52 & 0x7ff) - (is_subnormal ? 1083 : 1023);
    value = std::bit_cast<double>((bits & 0x800fffffffffffffu) | 0x3ff0000000000000u);
  }
};

struct RowExp {
  // Emission clamps logits this many binades below its reference: what they give rounds to 0.
  static constexpr double kEmitFloor = 160;
  // Logits this many binades above it would overflow the exponent of a weight.
  static constexpr double kEmitCeiling = 25;

  double center = 0, c64 = 0, at_center = 0;  // the function itself, in f64
  double n = 0;                               // and in f32: fl(2^(z·(c + c_low) − n)·factor)
  Temperature temperature;
  float c_low = 0;
  float low = 0;                                         // logits below count as this
  float factor = 0;                                      // ±[1, 2]·2^-kBias; 0 where at_center is
  float limit = std::numeric_limits<float>::infinity();  // results above count as this
  bool is_far = false;                                   // the f32 form doesn't reach

  RowExp() = default;

  // softmax: exactly 1 for a one-hot row's maximum, never above. `weight`: of the maximum alone, as
  // it was summed.
  LOGSUM_HOST_DEVICE static RowExp softmax(const RowMeasure& row, const Temperature& temperature,
                                           float weight) {
    RowExp exp(static_cast<double>(row.max), 1.0 / mass_over_largest(row, weight), temperature);
    exp.limit = 1.0f;
    const auto wanted = static_cast<float>(exp.at_center);
    for (int i = 0; i < 4 && !exp.is_far && exp.near(row.max) < wanted; ++i)
      exp.factor = std::bit_cast<float>(std::bit_cast<std::uint32_t>(exp.factor) + 1);
    return exp;
  }
  static RowExp softmax(const RowMeasure& row, const Temperature& temperature) {
    return softmax(row, temperature, weight_of_max(row, temperature));
  }

  LOGSUM_HOST_DEVICE RowExp(double center_, double at_center_, const Temperature& temperature_)
      : center(center_),
        c64(temperature_.c64),
        at_center(at_center_),
        temperature(temperature_),
        c_low(static_cast<float>(c64 - static_cast<double>(temperature_.c))) {
    const double t = center * c64;
    const double r = std::rint(t);
    const double k = at_center / static_cast<double>(exp2_fraction(static_cast<float>(t - r)));
    const Normalized normalized(k == 0 ? 1 : k);
    n = r - normalized.exponent;
    is_far = !(std::fabs(n) <= kFarReference);
    factor = k == 0 ? static_cast<float>(k) : static_cast<float>(normalized.value) * 0x1p-101f;
    low = static_cast<float>(n - kEmitFloor) * temperature.inverse_c;
  }

  // Whether the f32 form holds for logits up to `max`.
  LOGSUM_HOST_DEVICE bool holds_up_to(float max) const {
    return !is_far &&
           static_cast<double>(max) * static_cast<double>(temperature.c) - n <= kEmitCeiling;
  }

  // The f32 form, step by step as the SIMD code.
  LOGSUM_HOST_DEVICE float near(float z) const {
    const float clamped = std::max(z, low);
    const double t = static_cast<double>(clamped) * static_cast<double>(temperature.c);
    const double r = n + std::rint(t - n);
    const float p = exp2_fraction(std::fma(clamped, c_low, static_cast<float>(t - r)));
    return std::ldexp(p, static_cast<int>(r - n) + kBias) * factor;
  }

  // The f64 form, for any logit.
  LOGSUM_HOST_DEVICE float far(float z) const {
    const double x = (static_cast<double>(z) - center) * c64;
    if (x != x) return kNan;
    const double bounded = std::clamp(x, -3000.0, 3000.0);
    const double r = std::rint(bounded);
    const double p = exp2_fraction(static_cast<float>(bounded - r));
    return std::min(static_cast<float>(std::ldexp(p * at_center, static_cast<int>(r))), limit);
  }
};

}  // namespace logsum
