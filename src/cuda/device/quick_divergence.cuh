// SPDX-License-Identifier: Apache-2.0
// A column of two rows by the hardware's exponential and logarithm, for logits of two bytes under
// Determinism::per_device: a third of the instructions of core/divergence.hpp, to the bounds that
// distill_loss.hpp has for it. In base 2, with u = log2(a), v = log2(b), x = u − v.
#pragma once

#include "core/divergence.hpp"
#include "cuda/device/ptx.cuh"

namespace logsum::cuda {

// log2 of a positive number, 2^-22 off near 1.
__device__ __forceinline__ float log2_approximate(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// One of the rows: log2 of a logit's probability times 2^lift: for gradients kLift, so that what a
// bf16 can hold isn't flushed to 0. −∞ is kNothing: 2^kNothing is 0, and differences stay finite.
struct QuickRow {
  static constexpr float kLift = 32, kNothing = -3e38f;
  static constexpr double kUnlift = 0x1p-32;
  static constexpr float kLow = -10000;  // what is below may have been more

  float max, c, at_max;

  QuickRow() = default;
  __device__ __forceinline__ QuickRow(const RowExp& exp, double log_ratio, float lift)
      : max(static_cast<float>(exp.center)),
        c(exp.temperature.c),
        at_max(static_cast<float>(static_cast<double>(lift) - kLog2e * log_ratio)) {}

  __device__ __forceinline__ float operator()(float z) const {
    return fmaxf(__fmaf_rn(__fsub_rn(z, max), c, at_max), kNothing);
  }
};

// What a pair's columns add to its sums, and their gradients, times 2^lift. kIsJsd as in
// DivergencePair.
template <bool kIsJsd>
class QuickDivergence {
 public:
  static constexpr int kTerms = 7;
  // |x|, natural, below which the loss is a series.
  static constexpr float kNear = kIsJsd ? 0.6f : 1.0f;

  QuickDivergence() = default;
  __device__ __forceinline__ QuickDivergence(const DivergencePair& pair, double log_ratio_a,
                                             double log_ratio_b, float lift)
      : a_(pair.a, log_ratio_a, lift),
        b_(pair.b, log_ratio_b, lift),
        weight_a_(pair.weight_a),
        weight_b_(pair.weight_b) {
    constexpr auto ln2 = static_cast<float>(kLn2);
    float power = ln2 * ln2;
    if constexpr (kIsJsd) {
      // Σ κ_n·(n − 1)/n!·x^n: x·K′(x) − K(x) of the cumulants κ of a 0 or 1 with mean weight_a.
      float cumulants[kTerms];
      find_cumulants(weight_a_, cumulants);
      float factorial = 2;  // n!/(n − 1)
#pragma unroll
      for (int i = 0; i < kTerms; ++i) {
        series_[i] = cumulants[i] * power / factorial;
        power *= ln2;
        factorial *= static_cast<float>((i + 3) * (i + 1)) / static_cast<float>(i + 2);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kTerms; ++i) {
        series_[i] = DivergenceSeries::h(i) * power;
        power *= ln2;
      }
    }
  }

  // A KL's column whose log-ratio is larger than u − v can say, and counts.
  __device__ __forceinline__ bool is_beyond(float za, float zb) const {
    return !kIsJsd && b_(zb) < QuickRow::kLow && za > kNegInf &&
           (a_(za) > QuickRow::kLow || zb == kNegInf);
  }

  // Of a column that isn't beyond.
  __device__ __forceinline__ DivergenceTerms terms(float za, float zb) const {
    const float u = a_(za), v = b_(zb), x = __fsub_rn(u, v);
    const bool is_near = fabsf(x) < kNear * static_cast<float>(kLog2e);
    float series = series_[kTerms - 1];
#pragma unroll
    for (int i = kTerms - 2; i >= 0; --i) series = __fmaf_rn(series, x, series_[i]);
    const float square = __fmul_rn(__fmul_rn(x, x), series);
    constexpr auto ln2 = static_cast<float>(kLn2);
    if constexpr (!kIsJsd) {
      const float a = exp2_approximate(u), b = exp2_approximate(v);
      const float product = __fmul_rn(a, __fmul_rn(x, ln2));
      const float term = is_near ? __fmul_rn(a, square) : __fadd_rn(__fsub_rn(b, a), product);
      return {term, product, 0.0f};
    } else {
      const Mixture m(*this, u, v, x);
      const float direct =
          __fmul_rn(__fmaf_rn(m.log, m.y, m.rest * m.distance), __fmul_rn(m.larger, -ln2));
      const float near = __fmul_rn(__fmul_rn(m.larger, m.y), square);
      return {is_near ? near : direct, __fmul_rn(m.a(), __fmul_rn(m.log_a(), ln2)),
              __fmul_rn(m.b(), __fmul_rn(m.log_b(), ln2))};
    }
  }

  // Of a column that isn't beyond; the row's factors have 2^-lift in them.
  __device__ __forceinline__ ColumnGradients gradients(const DivergenceGradient& g, float za,
                                                       float zb) const {
    const float u = a_(za), v = b_(zb), x = __fsub_rn(u, v);
    constexpr auto ln2 = static_cast<float>(kLn2);
    if constexpr (!kIsJsd) {
      const float a = exp2_approximate(u), b = exp2_approximate(v);
      return {__fmul_rn(__fmul_rn(a, g.factor_a), __fmaf_rn(x, ln2, -g.mean_a)),
              __fmul_rn(__fsub_rn(b, a), g.factor_b)};
    } else {
      const Mixture m(*this, u, v, x);
      return {__fmul_rn(__fmul_rn(m.a(), g.factor_a), __fmaf_rn(m.log_a(), ln2, -g.mean_a)),
              __fmul_rn(__fmul_rn(m.b(), g.factor_b), __fmaf_rn(m.log_b(), ln2, -g.mean_b))};
    }
  }

 private:
  // log2(m/larger) = log, with y = m/larger and the smaller's share `rest` of it.
  struct Mixture {
    float x, distance, larger, smaller, rest, y, log;

    __device__ __forceinline__ Mixture(const QuickDivergence& q, float u, float v, float x_)
        : x(x_), distance(fabsf(x_)) {
      const bool a_is_larger = x >= 0;
      const float ratio = exp2_approximate(-distance);
      larger = exp2_approximate(fmaxf(u, v));
      smaller = __fmul_rn(larger, ratio);
      rest = __fmul_rn(a_is_larger ? q.weight_b_ : q.weight_a_, ratio);
      y = __fadd_rn(rest, a_is_larger ? q.weight_a_ : q.weight_b_);
      log = log2_approximate(y);
    }
    __device__ __forceinline__ float a() const { return x >= 0 ? larger : smaller; }
    __device__ __forceinline__ float b() const { return x >= 0 ? smaller : larger; }
    __device__ __forceinline__ float log_a() const { return __fsub_rn(fminf(x, 0.0f), log); }
    __device__ __forceinline__ float log_b() const { return __fsub_rn(-fmaxf(x, 0.0f), log); }
  };

  // κ_2 … κ_8.
  __device__ __forceinline__ static void find_cumulants(float mean, float (&k)[kTerms]) {
    const float s = mean * (1 - mean);  // κ_2
    const float d = 1 - 2 * mean;       // each the derivative by the mean of the last, times s
    const float s2 = s * s, s3 = s2 * s;
    k[0] = s;
    k[1] = s * d;
    k[2] = s - 6 * s2;
    k[3] = d * (s - 12 * s2);
    k[4] = s - 30 * s2 + 120 * s3;
    k[5] = d * (s - 60 * s2 + 360 * s3);
    k[6] = s - 126 * s2 + 1680 * s3 - 5040 * s2 * s2;
  }

  QuickRow a_, b_;
  float weight_a_, weight_b_;
  float series_[kTerms];
};

}  // namespace logsum::cuda
