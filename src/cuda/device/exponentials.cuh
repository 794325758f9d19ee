// SPDX-License-Identifier: Apache-2.0
// The two ways to a weight 2^(z·c − N) of a logit and its distance x = N − z·c below the reference
// (docs/design/tile_tree.md). The polynomial gives the CPU's bits (Determinism::cross_device); the
// hardware's exponential costs a third of the instructions.
#pragma once

#include "core/measure.hpp"
#include "cuda/device/ptx.cuh"

namespace logsum::cuda {

inline constexpr float kRoundingMagic = 12582912.0f;  // 1.5·2^23

// The reference of a near chunk (|N| ≤ 2^21).
struct NearReference {
  float c, n;
  float low;  // logits below count as this
};

struct Weight {
  float w, x;
};

// Weights carry 2^kBias.
struct Polynomial {
  static constexpr float kUnit = 0x1p-101f;  // what sums are multiplied by
  float magic;

  // The polynomial is doubled, which leaves an exponent of 100 to add: one shift-and-add.
  __device__ __forceinline__ explicit Polynomial(const NearReference& reference)
      : magic(kRoundingMagic + (kBias - 1) - reference.n) {}

  __device__ static float weight_of_max(const RowMeasure& row, const Temperature& temperature) {
    return logsum::weight_of_max(row, temperature);
  }

  template <bool kClamped>
  __device__ __forceinline__ Weight operator()(float z, const NearReference& reference) const {
    if (kClamped) z = fmaxf(z, reference.low);
    const float rounded = __fmaf_rn(z, reference.c, magic);
    const float f = __fmaf_rn(z, reference.c, __fsub_rn(magic, rounded));
    float p = __fmaf_rn(2.0f * logsum::poly(0), f, 2.0f * logsum::poly(1));
#pragma unroll
    for (int i = 2; i < 6; ++i) p = __fmaf_rn(p, f, 2.0f * logsum::poly(i));
    return {__int_as_float(__float_as_int(p) + (__float_as_int(rounded) << 23)),
            __fmaf_rn(-z, reference.c, reference.n)};
  }
};

// A row's n may be far; its maximum was then summed by the polynomial, whatever the rest was.
struct Hardware {
  static constexpr float kUnit = 1.0f;
  // Below, ex2 would flush to 0 what 0·x must not see as 0·∞.
  static constexpr float kLowest = -126.0f;

  __device__ __forceinline__ explicit Hardware(const NearReference&) {}

  __device__ static float weight_of_max(const RowMeasure& row, const Temperature& temperature) {
    if (!(fabs(row.n) <= kFarReference)) return logsum::weight_of_max(row, temperature);
    return exp2_approximate(__fmaf_rn(row.max, temperature.c, -static_cast<float>(row.n)));
  }

  template <bool kClamped>
  __device__ __forceinline__ Weight operator()(float z, const NearReference& reference) const {
    float y = __fmaf_rn(z, reference.c, -reference.n);
    if (kClamped) y = fmaxf(y, kLowest);
    return {exp2_approximate(y), -y};
  }
};

}  // namespace logsum::cuda
