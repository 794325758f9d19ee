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
  __device__ __forceinline__ QuickRow(const MeasuredRow& row, float c_, float lift)
      : max(row.max), c(c_), at_max(at_max_of(row, lift)) {}

  __device__ __forceinline__ static float at_max_of(const MeasuredRow& row, float lift) {
    return static_cast<float>(static_cast<double>(lift) - kLog2e * row.log_ratio);
  }
  __device__ __forceinline__ float operator()(float z) const {
    return fmaxf(__fmaf_rn(__fsub_rn(z, max), c, at_max), kNothing);
  }
};

struct QuickPair {
  QuickRow a, b;
};

// Whether rows suit it.
__device__ __forceinline__ bool suits_quick(const DivergencePair& pair) {
  return !pair.is_far && !pair.is_uneven;
}

// What columns add to their row's sums, and their gradients, times 2^lift. kIsJsd as in
// DivergencePair. What is kept here is the call's.
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
    float power = ln2 * ln2;
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
    const float u = rows.a(za), v = rows.b(zb), x = __fsub_rn(u, v);
    const bool is_near = fabsf(x) < kNear * static_cast<float>(kLog2e);
    float series = series_[kTerms - 1];
#pragma unroll
    for (int i = kTerms - 2; i >= 0; --i) series = __fmaf_rn(series, x, series_[i]);
    const float square = __fmul_rn(__fmul_rn(x, x), series);
    if constexpr (!kIsJsd) {
      const float a = exp2_approximate(u), b = exp2_approximate(v);
      const float product = __fmul_rn(a, __fmul_rn(x, kNatural));
      const float term = is_near ? __fmul_rn(a, square) : __fadd_rn(__fsub_rn(b, a), product);
      return {term, product, 0.0f};
    } else {
      const Mixture m(x, weight_a_, weight_b_);
      const float larger = exp2_approximate(fmaxf(u, v));
      const float smaller = __fmul_rn(larger, m.ratio);
      const float a = x >= 0 ? larger : smaller, b = x >= 0 ? smaller : larger;
      const float direct =
          __fmul_rn(__fmaf_rn(m.log, m.y, m.rest * fabsf(x)), __fmul_rn(larger, -kNatural));
      const float near = __fmul_rn(__fmul_rn(larger, m.y), square);
      return {is_near ? near : direct, __fmul_rn(a, __fmul_rn(m.log_own(x), kNatural)),
              __fmul_rn(b, __fmul_rn(m.log_own(-x), kNatural))};
    }
  }

  // The gradient of a side. Of a column that isn't beyond; `factor` has 2^-lift in it.
  __device__ __forceinline__ float gradient_a(const QuickPair& rows, const DivergenceGradient& g,
                                              float za, float zb) const {
    const float u = rows.a(za), x = __fsub_rn(u, rows.b(zb));
    const float log = kIsJsd ? Mixture(x, weight_a_, weight_b_).log_own(x) : x;
    return above_mean(exp2_approximate(u), log, g.mean_a, g.factor_a);
  }
  __device__ __forceinline__ float gradient_b(const QuickPair& rows, const DivergenceGradient& g,
                                              float za, float zb) const {
    const float u = rows.a(za), v = rows.b(zb);
    if constexpr (!kIsJsd)
      return __fmul_rn(__fsub_rn(exp2_approximate(v), exp2_approximate(u)), g.factor_b);
    const float x = __fsub_rn(v, u);
    return above_mean(exp2_approximate(v), Mixture(x, weight_b_, weight_a_).log_own(x), g.mean_b,
                      g.factor_b);
  }

 private:
  static constexpr auto kNatural = static_cast<float>(kLn2);

  // log = log2(m/larger) of y = m/larger, in which the smaller's share is `rest`; x: the log-ratio
  // of the row that has weight `own` to the other's.
  struct Mixture {
    float ratio, rest, y, log;

    __device__ __forceinline__ Mixture(float x, float own, float other) {
      const bool own_is_larger = x >= 0;
      ratio = exp2_approximate(-fabsf(x));
      rest = __fmul_rn(own_is_larger ? other : own, ratio);
      y = __fadd_rn(rest, own_is_larger ? own : other);
      log = log2_approximate(y);
    }
    // log2 of the probability over m, of the row that x is the log-ratio of.
    __device__ __forceinline__ float log_own(float x) const {
      return __fsub_rn(fminf(x, 0.0f), log);
    }
  };

  __device__ __forceinline__ static float above_mean(float p, float log2, float mean,
                                                     float factor) {
    return __fmul_rn(__fmul_rn(p, factor), __fmaf_rn(log2, kNatural, -mean));
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
