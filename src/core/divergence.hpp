// SPDX-License-Identifier: Apache-2.0
// A divergence of two rows of logits, column by column: a and b are a column's probabilities in the
// two, x = log a − log b, and
//
//   KL(a‖b)    Σ a·x
//   jsd        wa·KL(a‖m) + wb·KL(b‖m),   m = wa·a + wb·b,   wa + wb = 1
//
// A reverse KL is the KL of the rows the other way round. The scalar text of what SIMD code
// (cpu/divergence-inl.h) does to the same bits, and what a GPU's threads run.
//
// Nearly equal rows: Σ a·x cancels to the square of its terms, of which each is off by 1e-7. So
// what is added is a·x + (b − a) ≥ 0, whose sum is the same, as both rows sum to 1; as
// a·x²·H(x) where |x| < 1. And x isn't the difference of two log-probs, each with the rounding of
// its own size, but of what the exponentials leave of z·log2(e)/T beside an integer.
#pragma once

#include <cmath>

#include "core/row_exp.hpp"
#include "logsum/distill_loss.hpp"

namespace logsum {

// What is known of one of the rows when it is measured.
struct MeasuredRow {
  RowStatus status = RowStatus::ignored;
  float max = 0;
  double ratio = 1;      // the row's mass over the maximum's
  double at_max = 0;     // the maximum's probability
  double log_ratio = 0;  // −log of it

  MeasuredRow() = default;
  LOGSUM_HOST_DEVICE explicit MeasuredRow(RowStatus status_) : status(status_) {}
  // `weight`: of the maximum alone, as it was summed.
  LOGSUM_HOST_DEVICE MeasuredRow(const RowMeasure& row, float weight)
      : MeasuredRow(row.max, mass_over_largest(row, weight)) {}
  LOGSUM_HOST_DEVICE MeasuredRow(float max_, double ratio_)
      : status(RowStatus::ok),
        max(max_),
        ratio(ratio_),
        at_max(1.0 / ratio),
        log_ratio(portable_log(ratio)) {}
};

// What is wrong with a pair of rows: the worst of what is wrong with either.
LOGSUM_HOST_DEVICE inline RowStatus status_of_pair(RowStatus a, RowStatus b) {
  constexpr RowStatus kWorst[] = {RowStatus::bad_parameter, RowStatus::nan, RowStatus::pos_inf,
                                  RowStatus::empty};
  for (const RowStatus status : kWorst)
    if (a == status || b == status) return status;
  return RowStatus::ok;
}

inline constexpr float kMostF32 = std::numeric_limits<float>::max();

// e^−l − 1 + l = l²·H(l), |l| ≤ 1, and 1 − e^−s = s·E(s), 0 ≤ s ≤ ½; log(1 + f) = 2s + s·s²·L(s²)
// with s = f/(2 + f). Fitted for the least relative error: 1.1e-7, 1e-7, 3e-8 with rounded
// coefficients.
struct DivergenceSeries {
  static constexpr int kH = 7, kE = 5, kL = 4;
  static constexpr float h(int i) {
    constexpr float k[] = {0x1p-1f,         -0x1.55557cp-3f,  0x1.555504p-5f, -0x1.10fce8p-7f,
                           0x1.6c272cp-10f, -0x1.aa419cp-13f, 0x1.a2c5dep-16f};
    return k[i];
  }
  static constexpr float e(int i) {
    constexpr float k[] = {0x1.fffffep-1f, -0x1.fffe08p-2f, 0x1.551732p-3f, -0x1.4fe1eap-5f,
                           0x1.bbbf2ap-8f};
    return k[i];
  }
  static constexpr float l(int i) {
    constexpr float k[] = {0x1.555556p-1f, 0x1.9999ecp-2f, 0x1.245b96p-2f, 0x1.ddf2e4p-3f};
    return k[i];
  }
};

// Two rows, and how they are compared.
struct DivergencePair {
  RowExp a, b;  // probabilities times the caller's factor
  // x/ln 2 = ((r_a − r_b) − whole) + ((f_a − f_b) + part), r and f of the exponentials.
  float whole = 0, part = 0;
  bool is_far = false;  // for f32: every column by f64
  bool is_jsd = false;
  float weight_a = 1, weight_b = 0;
  bool is_uneven = false;  // the weights: log_ratios
  // x in f64 = ((z_a − max_a)/T_a − (z_b − max_b)/T_b) − log_ratio
  double inverse_ta = 1, inverse_tb = 1, log_ratio = 0;

  // Where a smaller weight multiplies the log-ratio's error beyond the contract.
  static constexpr float kUneven = 1.0f / 16;

  DivergencePair() = default;
  LOGSUM_HOST_DEVICE DivergencePair(const MeasuredRow& row_a, float ta, const MeasuredRow& row_b,
                                    float tb, double factor)
      : a(static_cast<double>(row_a.max), factor * row_a.at_max, Temperature(ta)),
        b(static_cast<double>(row_b.max), factor * row_b.at_max, Temperature(tb)),
        inverse_ta(1.0 / static_cast<double>(ta)),
        inverse_tb(1.0 / static_cast<double>(tb)),
        log_ratio(row_a.log_ratio - row_b.log_ratio) {
    const double lse_a = a.center * a.c64 + kLog2e * row_a.log_ratio;  // of base 2
    const double lse_b = b.center * b.c64 + kLog2e * row_b.log_ratio;
    const double lower = lse_a - lse_b;
    is_far = !(a.holds_up_to(row_a.max) && b.holds_up_to(row_b.max));
    if (is_far) return;
    whole = static_cast<float>(std::rint(lower));
    part = static_cast<float>(std::rint(lower) - lower);
  }

  LOGSUM_HOST_DEVICE void set_jsd(float weight) {
    is_jsd = true;
    weight_a = weight;
    weight_b = static_cast<float>(1.0 - static_cast<double>(weight));
    is_uneven = weight_a < kUneven || weight_b < kUneven;
  }
};

// A column.
struct ColumnPair {
  float a, b, x;
};

// x of any two logits, with `a` the first's probability: a 0 that was too small for f32 isn't one
// that an infinite x makes infinite. At least −kMostF32; +∞ where log a is beyond it, or where b
// is nothing at all.
LOGSUM_HOST_DEVICE LOGSUM_DEVICE_NOINLINE inline float log_ratio_of(const DivergencePair& pair,
                                                                    float za, float zb, float a) {
  if (za == kNegInf) return zb == kNegInf ? 0.0f : -kMostF32;
  if (zb == kNegInf) return -kNegInf;
  const double above_a = (static_cast<double>(za) - pair.a.center) * pair.inverse_ta;
  const double above_b = (static_cast<double>(zb) - pair.b.center) * pair.inverse_tb;
  const double x = (above_a - above_b) - pair.log_ratio;
  if (x < -static_cast<double>(kMostF32)) return -kMostF32;
  if (a == 0 && x > static_cast<double>(kMostF32)) return kMostF32;
  return static_cast<float>(x);
}

// 2^r·2^f, and both.
struct NearColumn {
  float p, r, f;

  LOGSUM_HOST_DEVICE NearColumn(const RowExp& exp, float z) {
    // 228: a float's exponent and the weights' bias, docs/design/tile_tree.md.
    const float magic = 12582912.0f + (127.0f + kBias) - static_cast<float>(exp.n);
    const float clamped = z < exp.low ? exp.low : z;
    const float rounded = std::fma(clamped, exp.temperature.c, magic);
    r = rounded - magic;
    f = std::fma(clamped, exp.c_low, std::fma(clamped, exp.temperature.c, -r));
    const float scale = std::bit_cast<float>(std::bit_cast<std::uint32_t>(rounded) << 23);
    p = exp2_fraction(f) * scale * exp.factor;
  }
};

// Of two rows that aren't far.
LOGSUM_HOST_DEVICE inline ColumnPair near_pair(const DivergencePair& pair, float za, float zb) {
  const NearColumn a(pair.a, za), b(pair.b, zb);
  float x = ((a.r - b.r) - pair.whole) + ((a.f - b.f) + pair.part);
  x *= static_cast<float>(kLn2);
  if (za < pair.a.low || zb < pair.b.low) x = log_ratio_of(pair, za, zb, a.p);
  return {a.p, b.p, x};
}

LOGSUM_HOST_DEVICE LOGSUM_DEVICE_NOINLINE inline ColumnPair far_pair(const DivergencePair& pair,
                                                                     float za, float zb) {
  const float a = pair.a.far(za);
  return {a, pair.b.far(zb), log_ratio_of(pair, za, zb, a)};
}

// log(a/m), log(b/m), m; of a KL m is b.
struct LogRatios {
  float a, b, m;
};

// log(1 − u) where that is y, u in [0, 1): relative accuracy for small u too.
LOGSUM_HOST_DEVICE inline float log_of_rest(float y, float u) {
  constexpr std::uint32_t kOne = 0x3f800000u, kRootHalf = 0x3f3504f3u;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(y) + (kOne - kRootHalf);
  const float mantissa = std::bit_cast<float>((bits & 0x7fffffu) + kRootHalf);
  const int k = static_cast<int>(bits >> 23) - 127;
  const float f = k == 0 ? 0.0f - u : mantissa - 1.0f;
  const float s = f / (2.0f + f), s2 = s * s;
  float series = DivergenceSeries::l(DivergenceSeries::kL - 1);
  for (int i = DivergenceSeries::kL - 2; i >= 0; --i)
    series = std::fma(series, s2, DivergenceSeries::l(i));
  const float log = std::fma(s * s2, series, s + s);
  return std::fma(static_cast<float>(k), static_cast<float>(kLn2), log);
}

inline constexpr float kFarApart = 80;  // e^-80 is still an f32

LOGSUM_HOST_DEVICE inline LogRatios log_ratios(const DivergencePair& pair, const ColumnPair& c) {
  if (!pair.is_jsd) return {c.x, 0.0f, c.b};
  const bool a_is_larger = c.x >= 0;
  const float larger = a_is_larger ? c.a : c.b, smaller = a_is_larger ? c.b : c.a;
  const float weight_of_larger = a_is_larger ? pair.weight_a : pair.weight_b;
  const float weight_of_smaller = a_is_larger ? pair.weight_b : pair.weight_a;
  const float distance = std::fabs(c.x);
  const float s = distance < kMostF32 ? distance : kMostF32;
  float series = DivergenceSeries::e(DivergenceSeries::kE - 1);
  for (int i = DivergenceSeries::kE - 2; i >= 0; --i)
    series = std::fma(series, s, DivergenceSeries::e(i));
  // The factor may be negative, and both may have been too small for f32.
  const float least = std::numeric_limits<float>::min(), size = std::fabs(larger);
  const float ratio = std::fabs(smaller) / (size < least ? least : size);
  const bool is_near = s < 0.5f;
  const float lacks = is_near ? s * series : 1.0f - ratio;  // 1 − smaller/larger
  const float rest = is_near ? 1.0f - lacks : ratio;
  const float y = std::fma(weight_of_smaller, rest, weight_of_larger);
  const float of_larger = 0.0f - log_of_rest(y, weight_of_smaller * lacks);
  // log(smaller/m) = log(1 − weight_of_larger·lacks/y), of which the difference has little left
  // where that weight is small.
  float of_smaller = of_larger - s;
  if (pair.is_uneven && s < kFarApart)
    of_smaller = log_of_rest(rest / y, weight_of_larger * lacks / y);
  return {a_is_larger ? of_larger : of_smaller, a_is_larger ? of_smaller : of_larger,
          std::fma(pair.weight_a, c.a, pair.weight_b * c.b)};
}

// p·l + (m − p), l = log(p/m).
LOGSUM_HOST_DEVICE inline float divergence_term(float p, float l, float m) {
  float series = DivergenceSeries::h(DivergenceSeries::kH - 1);
  for (int i = DivergenceSeries::kH - 2; i >= 0; --i)
    series = std::fma(series, l, DivergenceSeries::h(i));
  const float near = p * (l * l * series);
  const float product = l == -kNegInf ? l : p * l;
  return std::fabs(l) < 1.0f ? near : (m - p) + product;
}

// What a row's columns are summed to: the divergence, and the means that gradients subtract, of
// log(a/m) under a and of log(b/m) under b. Not made of each other: of nearly equal rows the first
// is the smaller by x.
struct DivergenceSums {
  double divergence = 0, mean_a = 0, mean_b = 0;

  LOGSUM_HOST_DEVICE DivergenceSums times(double factor) const {
    return {divergence * factor, mean_a * factor, mean_b * factor};
  }
  LOGSUM_HOST_DEVICE void add(const DivergenceSums& other) {
    divergence += other.divergence;
    mean_a += other.mean_a;
    mean_b += other.mean_b;
  }
};

struct DivergenceTerms {
  float divergence, mean_a, mean_b;
};

LOGSUM_HOST_DEVICE inline DivergenceTerms divergence_terms(const DivergencePair& pair,
                                                           const ColumnPair& c) {
  const LogRatios l = log_ratios(pair, c);
  float divergence = divergence_term(c.a, l.a, l.m);
  if (pair.is_jsd)
    divergence =
        std::fma(pair.weight_a, divergence, pair.weight_b * divergence_term(c.b, l.b, l.m));
  return {divergence, c.a * l.a, c.b * l.b};
}

// What a column's gradients are made of beside its pair, whose exponentials have the factor.
struct DivergenceGradient {
  float mean_a = 0, mean_b = 0;
  float factor_a = 0, factor_b = 0;  // weight/T

  DivergenceGradient() = default;
  LOGSUM_HOST_DEVICE DivergenceGradient(const DivergencePair& pair, const DivergenceSums& sums)
      : DivergenceGradient(sums, (pair.is_jsd ? pair.weight_a : 1.0f) / pair.a.temperature.t,
                           (pair.is_jsd ? pair.weight_b : 1.0f) / pair.b.temperature.t) {}
  LOGSUM_HOST_DEVICE DivergenceGradient(const DivergenceSums& sums, float a, float b)
      : mean_a(static_cast<float>(sums.mean_a)),
        mean_b(static_cast<float>(sums.mean_b)),
        factor_a(a),
        factor_b(b) {}

  LOGSUM_HOST_DEVICE void multiply(double by) {
    factor_a = static_cast<float>(static_cast<double>(factor_a) * by);
    factor_b = static_cast<float>(static_cast<double>(factor_b) * by);
  }
};

struct ColumnGradients {
  float a, b;
};

// p·(l − mean); 0 where p is, however far apart they are.
LOGSUM_HOST_DEVICE inline float above_mean(float p, float l, float mean) {
  const float above = l - mean;
  return p * (above < -kMostF32 ? -kMostF32 : above);
}

LOGSUM_HOST_DEVICE inline ColumnGradients divergence_gradients(const DivergencePair& pair,
                                                               const DivergenceGradient& g,
                                                               const ColumnPair& c) {
  const LogRatios l = log_ratios(pair, c);
  const float of_b = pair.is_jsd ? above_mean(c.b, l.b, g.mean_b) : c.b - c.a;
  return {above_mean(c.a, l.a, g.mean_a) * g.factor_a, of_b * g.factor_b};
}

}  // namespace logsum
