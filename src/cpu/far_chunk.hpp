// SPDX-License-Identifier: Apache-2.0
// Chunks beyond the reach of the f32 rounding trick: |N| > 2^21 (huge logits, tiny temperatures).
// The same r, f and x as in the SIMD code, from f64 products, which are exact. Scalar: such rows
// are rare, and right matters more here than fast.
#pragma once

#include "core/measure.hpp"

namespace logsum::cpu {

// Logits of a chunk that are below count as this.
inline float lowest_counted(double n, const Temperature& temperature) {
  return static_cast<float>(n - kFloor) * temperature.inverse_c;
}

// The reference exponent of a chunk and what follows from it.
struct ChunkReference {
  double n;
  float lo;  // logits below count as this
  bool is_far;

  ChunkReference(float max, const Temperature& temperature)
      : n(std::rint(static_cast<double>(max) * static_cast<double>(temperature.c)) +
          0.0),  // not −0
        lo(lowest_counted(n, temperature)),
        is_far(!(std::fabs(n) <= kFarReference)) {}
};

struct FarWeight {
  float p;
  double exponent;  // r − N
  float below;      // x = N − t
};

inline FarWeight far_weight(float z, double n, const Temperature& temperature) {
  const double above = static_cast<double>(z) * static_cast<double>(temperature.c) - n;
  const double exponent = std::rint(above);
  return {exp2_fraction(static_cast<float>(above - exponent)), exponent,
          static_cast<float>(-above)};
}

struct FarLanes {
  alignas(64) float sum[kLanes] = {};
  alignas(64) float moment[kLanes] = {};
};

inline FarLanes far_lanes(const float* z, int columns, double n, const Temperature& temperature) {
  FarLanes lanes;
  for (int column = 0; column < columns; ++column) {
    float& sum = lanes.sum[column % kLanes];
    if (z[column] != z[column]) sum = kNan;
    if (!(z[column] > kNegInf)) continue;
    const FarWeight w = far_weight(z[column], n, temperature);
    if (w.exponent < -kFloor) continue;
    const float weight = std::ldexp(w.p, static_cast<int>(w.exponent) + kBias);
    sum += weight;
    lanes.moment[column % kLanes] = std::fma(weight, w.below, lanes.moment[column % kLanes]);
  }
  return lanes;
}

}  // namespace logsum::cpu
