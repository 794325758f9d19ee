// SPDX-License-Identifier: Apache-2.0
// What a loss knows of a row that is measured, and how the row's gradient is written:
//
//   dz_j = g·(δ_jy − p_j) + s·p_j + c·p_j·(log p_j + H)      with all factors, 1/T too
//
// A loss is three numbers per row, g, s and c: nothing here knows which loss it is.
#pragma once

#include <cmath>

#include "core/portable_exp.hpp"
#include "core/results.hpp"
#include "core/row_exp.hpp"

namespace logsum {

// Mass of a row without one of its columns over the mass of all of it; `others` is the measure of
// the row whose tile with that column was measured without it. So 1 − p keeps its relative accuracy
// as p nears 1: 1 − e^logp loses it at 1e-8, −expm1(logp) at 1e-13, where masses end.
LOGSUM_HOST_DEVICE inline double rest_of_mass(const RowMeasure& others, const RowMeasure& row) {
  if (others.mass == 0) return 0;
  const double lower = others.n - row.n;
  const double ratio = static_cast<double>(others.mass) / static_cast<double>(row.mass);
  if (lower < -1000) return lower < -1070 ? 0 : std::ldexp(ratio, static_cast<int>(lower));
  return ratio *
         std::bit_cast<double>(static_cast<std::uint64_t>(1023 + static_cast<int>(lower)) << 52);
}

struct ScoredRow {
  RowStatus status = RowStatus::ignored;
  float logp = kNan;     // of the target
  float entropy = kNan;  // where it was measured
  float lse = kNan;
  float max = 0;
  RowNorm norm;
  double at_max = 0;  // the maximum's probability
  double rest = 1;    // 1 − p of the target: rest_of_mass
};

// `value`: the target's logit. `weight`: of the maximum, as it was summed.
LOGSUM_HOST_DEVICE inline ScoredRow scored_row(const RowMeasure& row,
                                               const Temperature& temperature, float weight,
                                               float value) {
  ScoredRow scored;
  scored.status = RowStatus::ok;
  scored.max = row.max;
  scored.norm = RowNorm(row, temperature, weight);
  scored.logp = scored.norm.logprob(value);
  scored.lse = row_lse(row, scored.norm, temperature);
  scored.at_max = 1.0 / mass_over_largest(row, weight);
  return scored;
}

// dloss/dlogp of the target, by lse beyond that, and by the entropy.
struct RowDerivatives {
  double g = 0, c = 0, s = 0;

  LOGSUM_HOST_DEVICE RowDerivatives times(double factor) const {
    return {g * factor, c * factor, s * factor};
  }
  // Of p_j of every column.
  LOGSUM_HOST_DEVICE double of_others() const { return s - g; }
};

struct RowGradient {
  enum class Fate : int { computed, zero, nan };

  Fate fate = Fate::zero;
  bool has_entropy = false;
  // has_entropy: dz = e·(c·log p + k), of which the larger is 1: e has the gradient's size.
  float c = 0, k = 0;
  int target = 0;
  RowExp exp;  // e; without entropy dz itself
  RowNorm norm;

  // dz of a column other than the target, by f64, for any logit. Not clamped as near ones are: the
  // bound itself may be beyond f32.
  LOGSUM_HOST_DEVICE float far(float z) const {
    const float e = exp.far(z);
    return has_entropy && e != 0 ? e * std::fma(c, norm.logprob(z), k) : e;
  }
  // The same where e is known and z is near, step by step as the SIMD code.
  LOGSUM_HOST_DEVICE float with_entropy(float e, float z) const {
    return e * std::fma(c, norm.logprob(std::max(z, exp.low)), k);
  }
};

LOGSUM_HOST_DEVICE constexpr bool is_scored(RowStatus status) {
  return status == RowStatus::ok || status == RowStatus::overflow;
}

LOGSUM_HOST_DEVICE constexpr RowGradient::Fate fate_of_failed(RowStatus status) {
  switch (status) {
    case RowStatus::nan:
    case RowStatus::pos_inf:
    case RowStatus::bad_parameter: return RowGradient::Fate::nan;
    default: return RowGradient::Fate::zero;
  }
}

// dz of the target.
LOGSUM_HOST_DEVICE inline double gradient_at_target(const ScoredRow& row, const RowDerivatives& d) {
  double at_target = d.g * row.rest;
  if (d.c != 0 || d.s != 0) {
    const double logp = static_cast<double>(row.logp), p = portable_exp(logp);
    if (p > 0 && d.c != 0) at_target += d.c * p * (logp + static_cast<double>(row.entropy));
    at_target += d.s * p;
  }
  return at_target;
}

// The row's fate.
LOGSUM_HOST_DEVICE inline RowGradient gradient_of_row(const ScoredRow& row, const RowDerivatives& d,
                                                      std::int64_t target) {
  RowGradient gradient;
  gradient.fate = fate_of_failed(row.status);
  if (!is_scored(row.status)) return gradient;
  constexpr double kMost = std::numeric_limits<double>::max();
  if (!(std::fabs(d.g) <= kMost && std::fabs(d.c) <= kMost && std::fabs(d.s) <= kMost)) {
    gradient.fate = RowGradient::Fate::nan;
    return gradient;
  }
  if (d.g == 0 && d.c == 0 && d.s == 0) return gradient;
  gradient.fate = RowGradient::Fate::computed;
  gradient.has_entropy = d.c != 0;
  gradient.target = static_cast<int>(target);
  return gradient;
}

// And all but the target's, for rows whose exponentials are the polynomial's.
LOGSUM_HOST_DEVICE inline RowGradient whole_gradient_of_row(const ScoredRow& row,
                                                            const Temperature& temperature,
                                                            const RowDerivatives& d,
                                                            std::int64_t target) {
  RowGradient gradient = gradient_of_row(row, d, target);
  if (gradient.fate != RowGradient::Fate::computed) return gradient;
  gradient.norm = row.norm;
  double factor = d.of_others();
  if (gradient.has_entropy) {
    const double k = d.c * static_cast<double>(row.entropy) + factor;
    factor = std::max(std::fabs(d.c), std::fabs(k));
    if (!(factor <= std::numeric_limits<double>::max())) {
      gradient.fate = RowGradient::Fate::nan;
      return gradient;
    }
    gradient.c = static_cast<float>(d.c / factor);
    gradient.k = static_cast<float>(k / factor);
  }
  gradient.exp = RowExp(static_cast<double>(row.max), factor * row.at_max, temperature);
  // For all tiles of a row or for none: their bits mustn't tell which tile has the maximum.
  gradient.exp.is_far = !gradient.exp.holds_up_to(row.max);
  return gradient;
}

}  // namespace logsum
