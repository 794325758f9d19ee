// SPDX-License-Identifier: Apache-2.0
// emit: the gradient of a row's logits from what is known of the row (core/scored_row.hpp). By the
// polynomial, to the CPU's bits; or, where the gradient has two bytes, by the hardware's
// exponential.
#pragma once

#include "core/scored_row.hpp"
#include "cuda/device/emit.cuh"

namespace logsum::cuda {

// In f64, for any logit: dz = 2^x·(slope·x + offset), x = (z − max)·c64.
struct CarefulGradient {
  double max, c64, slope = 0, offset;

  CarefulGradient() = default;
  // `d` with all factors.
  __device__ __forceinline__ CarefulGradient(const RowGradient& row, const ScoredRow& scored,
                                             const Temperature& temperature,
                                             const RowDerivatives& d)
      : max(static_cast<double>(scored.max)), c64(temperature.c64), offset(d.of_others()) {
    if (row.has_entropy) {
      offset += d.c * (static_cast<double>(scored.entropy) - scored.norm.log_ratio64);
      slope = scored.at_max * kLn2 * d.c;
    }
    offset *= scored.at_max;
  }

  __device__ __noinline__ float operator()(float z) const {
    const double x = fmax((static_cast<double>(z) - max) * c64, -3000.0);
    const double r = rint(x);
    const double p = exp2_fraction(static_cast<float>(x - r));
    return static_cast<float>(ldexp(p * (slope * x + offset), static_cast<int>(r)));
  }
};

// p = e^((z − m)/T)·P as 2^(z·c + k)·factor, with the rounding of k and of the product m·c put
// right in `factor`: what is left is that of the sum, 2^-20 where p > 2^-16. Few words: a ring
// sends them to all CTAs of a cluster, and all wait for them.
struct HardwareGradient {
  static constexpr float kLift = 32;  // so that no p is flushed to 0 that matters
  // Beyond these a row is written carefully: k would lose the lift, or the factor leave f32.
  static constexpr double kMostReference = 0x1p20;
  static constexpr double kMostFactor = 0x1p20, kLeastFactor = 0x1p-90;

  RowGradient::Fate fate = RowGradient::Fate::nan;
  bool is_careful = false;
  int target = 0;
  float c = 0, k = 0;
  // dz = 2^y·(slope·y + offset), y = z·c + k.
  float slope = 0, offset = 0;

  HardwareGradient() = default;
  __device__ __forceinline__ HardwareGradient(const RowGradient& row, const CarefulGradient& exact,
                                              const Temperature& temperature)
      : fate(row.fate), target(row.target), c(temperature.c) {
    const double reference = exact.max * static_cast<double>(c);
    k = static_cast<float>(static_cast<double>(kLift) - reference);
    const double shift = static_cast<double>(kLift) - reference - static_cast<double>(k);
    // 2^shift, to 1e-9 where the row isn't careful.
    const double s = shift * kLn2;
    const double correction = (1 + s + 0.5 * s * s) * 0x1p-32;
    slope = static_cast<float>(exact.slope * correction);
    offset = static_cast<float>(
        (exact.offset + exact.slope * (shift - static_cast<double>(kLift))) * correction);
    const double largest = fmax(fabs(exact.offset), fabs(exact.slope));
    is_careful =
        !(fabs(reference) <= kMostReference && largest <= kMostFactor && largest >= kLeastFactor);
  }

  // Of a column other than the target.
  __device__ __forceinline__ float plain(float z) const {
    return __fmul_rn(exp2_approximate(__fmaf_rn(z, c, k)), offset);
  }
  __device__ __forceinline__ float with_entropy(float z) const {
    const float y = fmaxf(__fmaf_rn(z, c, k), -160.0f);  // 2^y is 0 there, 0·∞ isn't
    return __fmul_rn(exp2_approximate(y), __fmaf_rn(y, slope, offset));
  }
};

struct NoRest {};

// What is known of a row, but for `Rest`, which a careful row needs.
template <DType kDType, class Exp>
inline constexpr bool kByHardware = kDType != DType::f32&& std::is_same_v<Exp, Hardware>;
template <DType kDType, class Exp>
using KnownGradient = std::conditional_t<kByHardware<kDType, Exp>, HardwareGradient, RowGradient>;
template <DType kDType, class Exp>
using GradientRest = std::conditional_t<kByHardware<kDType, Exp>, CarefulGradient, NoRest>;

// `d` with all factors; kDType: of the gradient.
template <DType kDType, class Exp>
__device__ __forceinline__ KnownGradient<kDType, Exp> known_gradient(
    const ScoredRow& scored, const Temperature& temperature, const RowDerivatives& d,
    std::int64_t target, GradientRest<kDType, Exp>& rest) {
  if constexpr (kByHardware<kDType, Exp>) {
    const RowGradient row = gradient_of_row(scored, d, target);
    rest = CarefulGradient(row, scored, temperature, d);
    return {row, rest, temperature};
  } else {
    return whole_gradient_of_row(scored, temperature, d, target);
  }
}

__device__ __forceinline__ bool is_careful(const HardwareGradient& known) {
  return known.is_careful;
}
__device__ __forceinline__ constexpr bool is_careful(const RowGradient&) { return false; }

// write_slowly(f), as below, of a careful row.
template <class WriteSlowly>
__device__ __forceinline__ void write_carefully(const CarefulGradient& rest,
                                                const WriteSlowly& write_slowly) {
  write_slowly([&rest](float z) { return rest(z); });
}
template <class WriteSlowly>
__device__ __forceinline__ void write_carefully(const NoRest&, const WriteSlowly&) {}

// write(f): of each column that exists, f(z) in place of z, where `f` is quick; write_slowly(f):
// where it is long. Of a row that isn't careful.
template <bool kEntropy, class Write, class WriteSlowly>
__device__ __forceinline__ void write_gradient(const HardwareGradient& known, const Write& write,
                                               const WriteSlowly&) {
  const HardwareGradient row = known;
  if (kEntropy)
    write([row](float z) { return row.with_entropy(z); });
  else
    write([row](float z) { return row.plain(z); });
}

__device__ __noinline__ inline float far_gradient(const RowGradient& row, float z) {
  return row.far(z);
}

template <bool kEntropy, class Write, class WriteSlowly>
__device__ __forceinline__ void write_gradient(const RowGradient& known, const Write& write,
                                               const WriteSlowly& write_slowly) {
  const NearExponentials<false> near(known.exp);
  if (known.exp.is_far) {
    write_slowly([&known](float z) { return far_gradient(known, z); });
  } else if (!kEntropy || !known.has_entropy) {
    write([near](float z) { return near.inside(fmaxf(z, near.low)); });
  } else {
    const RowNorm norm = known.norm;
    const float c = known.c, k = known.k;
    write([near, norm, c, k](float z) {
      const float above = fmaxf(z, near.low);
      return __fmul_rn(near.inside(above), __fmaf_rn(c, norm.logprob(above), k));
    });
  }
}

}  // namespace logsum::cuda
