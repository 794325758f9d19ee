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

// One of the rows: log2 of a logit's probability times 2^lift. For gradients kLift, so that what a
// bf16 can hold isn't flushed to 0; for sums kSumLift, so that neither a probability near 1 nor
// those of a flat row have logarithms of more than four bits before the point, whose errors they
// all share: the square of such an error is added to the divergence. −∞ where the logit is, or so
// far down.
struct QuickRow {
  static constexpr float kLift = 32, kSumLift = 8;
  static constexpr double kUnlift = 0x1p-32, kSumUnit = kLn2 * 0x1p-8;
  static constexpr float kLow = -10000;  // what is below may have been more

  float max, c, at_max;

  // `ratio`: the row's mass over its maximum's.
  QuickRow() = default;
  __device__ __forceinline__ QuickRow(float max_, double ratio, float c_, float lift)
      : max(max_), c(c_), at_max(at_max_of(ratio, lift)) {}

  // By parts, as the approximation is 2^-22 off from ½ to 2, and as much of its value beyond.
  __device__ __forceinline__ static float at_max_of(double ratio, float lift) {
    const unsigned bits = __float_as_uint(static_cast<float>(ratio));
    const float exponent = static_cast<float>(static_cast<int>(bits >> 23) - 127);
    const float mantissa = __uint_as_float((bits & 0x7fffffu) | 0x3f800000u);
    return __fsub_rn(lift - exponent, log2_approximate(mantissa));
  }
  __device__ __forceinline__ float operator()(float z) const {
    return __fmaf_rn(__fsub_rn(z, max), c, at_max);
  }
};

struct QuickPair {
  QuickRow a, b;
};

// log = log2(m/larger) of y = m/larger; x: the log-ratio of the row that has weight `own` to the
// other's. Both may be nothing at all: then it is any number.
struct QuickMixture {
  static constexpr float kFar = 200;  // 2^-200 is nothing

  bool own_is_larger;
  float distance, ratio, of_larger, of_smaller, y, log;

  __device__ __forceinline__ QuickMixture(float x, float own, float other) {
    own_is_larger = x >= 0;
    distance = fminf(fabsf(x), kFar);
    ratio = exp2_approximate(-distance);
    of_larger = own_is_larger ? own : other;
    of_smaller = own_is_larger ? other : own;
    y = __fmaf_rn(of_smaller, ratio, of_larger);
    log = log2_approximate(y);
  }
  // log2 of the probability over m, of the row that x is the log-ratio of.
  __device__ __forceinline__ float log_own() const {
    return __fsub_rn(own_is_larger ? 0.0f : -distance, log);
  }
};

// p·(log − mean)·factor, log2 given. In that order: p·factor may be subnormal.
__device__ __forceinline__ float above_mean(float p, float log2, float mean, float factor) {
  return __fmul_rn(__fmul_rn(p, __fmaf_rn(log2, static_cast<float>(kLn2), -mean)), factor);
}

// What columns add to their row's sums, over kSumUnit, and their gradients, times 2^lift. kIsJsd as
// in DivergencePair. What is kept here is the call's.
template <bool kIsJsd>
class QuickDivergence {
 public:
  static constexpr int kTerms = 7;
  // |x|, natural, below which the loss is a series.
  static constexpr float kNear = kIsJsd ? 0.6f : 1.0f;

  // A KL has no weights.
  explicit QuickDivergence(float weight) {
    DivergencePair pair;
    if (kIsJsd) pair.set_jsd(weight);
    weight_a_ = pair.weight_a;
    weight_b_ = pair.weight_b;
    constexpr auto ln2 = static_cast<float>(kLn2);
    float power = ln2;  // ln2²·x² natural, in base 2
    if constexpr (kIsJsd) {
      // Σ κ_n·(n − 1)/n!·x^n: x·K′(x) − K(x) of the cumulants κ of a 0 or 1 with mean weight_a.
      float cumulants[kTerms];
      find_cumulants(weight_a_, cumulants);
      float factorial = 2;  // n!/(n − 1)
      for (int i = 0; i < kTerms; ++i) {
        series_[i] = cumulants[i] * power / factorial;
        power *= ln2;
        factorial *= static_cast<float>((i + 3) * (i + 1)) / static_cast<float>(i + 2);
      }
    } else {
      for (int i = 0; i < kTerms; ++i) {
        series_[i] = DivergenceSeries::h(i) * power;
        power *= ln2;
      }
    }
  }

  __device__ __forceinline__ float weight_a() const { return weight_a_; }
  __device__ __forceinline__ float weight_b() const { return weight_b_; }

  // A KL's column whose log-ratio is larger than u − v can say, and counts.
  __device__ __forceinline__ static bool is_beyond(const QuickPair& rows, float za, float zb) {
    return !kIsJsd && rows.b(zb) < QuickRow::kLow && za > kNegInf &&
           (rows.a(za) > QuickRow::kLow || zb == kNegInf);
  }

  // Of a column that isn't beyond.
  __device__ __forceinline__ DivergenceTerms terms(const QuickPair& rows, float za,
                                                   float zb) const {
    const float u = rows.a(za), v = rows.b(zb), x = log_ratio(u, v);
    const bool is_near = fabsf(x) < kNear * static_cast<float>(kLog2e);
    float series = series_[kTerms - 1];
#pragma unroll
    for (int i = kTerms - 2; i >= 0; --i) series = __fmaf_rn(series, x, series_[i]);
    const float square = __fmul_rn(__fmul_rn(x, x), series);
    if constexpr (!kIsJsd) {
      const float a = exp2_approximate(u), b = exp2_approximate(v);
      const float product = __fmul_rn(a, x);
      const float direct = __fmaf_rn(__fsub_rn(b, a), static_cast<float>(kLog2e), product);
      return {is_near ? __fmul_rn(a, square) : direct, product, 0.0f};
    } else {
      const QuickMixture m(x, weight_a_, weight_b_);
      const float larger = exp2_approximate(fmaxf(u, v)), smaller = __fmul_rn(larger, m.ratio);
      const float of_larger = __fmul_rn(larger, -m.log);
      const float of_smaller = __fmul_rn(smaller, __fsub_rn(-m.distance, m.log));
      const float direct = __fmaf_rn(m.of_larger, of_larger, __fmul_rn(m.of_smaller, of_smaller));
      const float near = __fmul_rn(__fmul_rn(larger, m.y), square);
      return {is_near ? near : direct, m.own_is_larger ? of_larger : of_smaller,
              m.own_is_larger ? of_smaller : of_larger};
    }
  }

  // The gradient of a side. Of a column that isn't beyond; `factor` has 2^-lift in it.
  __device__ __forceinline__ float gradient_a(const QuickPair& rows, const DivergenceGradient& g,
                                              float za, float zb) const {
    const float u = rows.a(za), x = log_ratio(u, rows.b(zb));
    const float log = kIsJsd ? QuickMixture(x, weight_a_, weight_b_).log_own() : x;
    return above_mean(exp2_approximate(u), log, g.mean_a, g.factor_a);
  }
  __device__ __forceinline__ float gradient_b(const QuickPair& rows, const DivergenceGradient& g,
                                              float za, float zb) const {
    const float u = rows.a(za), v = rows.b(zb);
    if constexpr (!kIsJsd)
      return __fmul_rn(__fsub_rn(exp2_approximate(v), exp2_approximate(u)), g.factor_b);
    const float log = QuickMixture(log_ratio(v, u), weight_b_, weight_a_).log_own();
    return above_mean(exp2_approximate(v), log, g.mean_b, g.factor_b);
  }

 private:
  // u − v. A KL multiplies it by probabilities that are 0 where it is ±∞ or NaN; a mixture takes
  // care of those.
  __device__ __forceinline__ static float log_ratio(float u, float v) {
    constexpr float kMost = 3e38f;
    const float x = __fsub_rn(u, v);
    return kIsJsd ? x : fminf(fmaxf(x, -kMost), kMost);
  }

  // κ_2 … κ_8.
  static void find_cumulants(float mean, float (&k)[kTerms]) {
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

  float weight_a_, weight_b_;
  float series_[kTerms];
};

}  // namespace logsum::cuda
