// SPDX-License-Identifier: Apache-2.0
// emit: a tile of logits becomes exponentials (core/row_exp.hpp) or log-probs, to the CPU's bits.
#pragma once

#include "core/row_exp.hpp"
#include "cuda/device/exponentials.cuh"
#include "cuda/device/steps.cuh"

namespace logsum::cuda {

// 2^f by the polynomial and the power of two that it is multiplied by, apart: the exponent is in
// the low bits of `rounded`.
__device__ __forceinline__ float power_of_two(float rounded) {
  return __int_as_float(__float_as_int(rounded) << 23);
}
inline constexpr float kExponentMagic = kRoundingMagic + (127 + kBias);

// RowExp::near without f64. The polynomial is doubled, as in Polynomial: an exponent of 100 is left
// to add, which is one shift-and-add. kLimited: results above 1 count as 1; no logit is NaN.
template <bool kLimited>
struct NearExponentials {
  float c, c_low, magic, low, factor;

  __device__ __forceinline__ explicit NearExponentials(const RowExp& exp)
      : c(exp.temperature.c),
        c_low(exp.c_low),
        magic(kRoundingMagic + (kBias - 1) - static_cast<float>(exp.n)),
        low(exp.low),
        factor(exp.factor) {}

  __device__ __forceinline__ float operator()(float z) const {
    const float result = inside(kLimited ? fmaxf(z, low) : z < low ? low : z);  // NaN stays
    if (kLimited) return fminf(result, 1.0f);
    return z == z ? result : kNan;
  }

  // Of a logit that isn't below `low`, if the result isn't above 1.
  __device__ __forceinline__ float inside(float z) const {
    const float rounded = __fmaf_rn(z, c, magic);
    const float f = __fmaf_rn(z, c_low, __fmaf_rn(z, c, __fsub_rn(magic, rounded)));
    float p = __fmaf_rn(2.0f * poly(0), f, 2.0f * poly(1));
#pragma unroll
    for (int i = 2; i < 6; ++i) p = __fmaf_rn(p, f, 2.0f * poly(i));
    const float weight = __int_as_float(__float_as_int(p) + (__float_as_int(rounded) << 23));
    return __fmul_rn(weight, factor);
  }
};

// softmax by the hardware's exponential, of an output of two bytes: before it is rounded to 8 or 11
// bits p is off by 4e-6 where it is above 2^-24, by 1.4e-5 where it is 2^-126 (z − m and its
// product with 1/T are rounded), for a third of the instructions. Any logit of a row that is ok.
struct HardwareSoftmax {
  static constexpr float kLift = 64;  // so that no p is flushed to 0 that a bf16 could hold

  float max, c, factor;

  __device__ __forceinline__ explicit HardwareSoftmax(const RowExp& exp)
      : max(static_cast<float>(exp.center)),
        c(exp.temperature.c),
        factor(static_cast<float>(exp.at_center * 0x1p-64)) {}

  __device__ __forceinline__ float operator()(float z) const {
    return __fmul_rn(exp2_approximate(__fmaf_rn(__fsub_rn(z, max), c, kLift)), factor);
  }
};

// Not inlined: for eight columns at once it would be the larger part of the kernel.
__device__ __noinline__ inline float far_exponential(const RowExp& exp, float z) {
  return exp.far(z);
}

// The tile's largest logit that isn't NaN.
__device__ __forceinline__ float max_of_tile(int columns, const TensorTile& logits) {
  const StepLayout layout(logits);
  float max = kNegInf;
#pragma unroll 1
  for (int first = 0; first < columns; first += kLanes) {
    const StepValues values = load_step(logits, layout, first, columns - first);
#pragma unroll
    for (int i = 0; i < kPositions; ++i) max = fmaxf(max, values.v[i]);
  }
  return warp_reduce(max, [](float a, float b) { return fmaxf(a, b); });
}

// Of logits of any size.
__device__ __forceinline__ void write_far_exponentials(const RowExp& exp, int columns,
                                                       const TensorTile& out,
                                                       const TensorTile& logits) {
  write_tile(
      columns, [&exp](float z) { return far_exponential(exp, z); }, out, logits);
}

// kLimited: a softmax, none of whose logits is above its center, which the f32 form always reaches
// if the row isn't far.
template <bool kLimited>
__device__ __forceinline__ void write_exponentials(const RowExp& exp, int columns,
                                                   const TensorTile& out,
                                                   const TensorTile& logits) {
  const bool is_near =
      kLimited ? !exp.is_far : !exp.is_far && exp.holds_up_to(max_of_tile(columns, logits));
  if (is_near)
    write_tile(columns, NearExponentials<kLimited>(exp), out, logits);
  else
    write_far_exponentials(exp, columns, out, logits);
}

}  // namespace logsum::cuda
