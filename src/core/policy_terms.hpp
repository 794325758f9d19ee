// SPDX-License-Identifier: Apache-2.0
// The policy losses of one token, in f64: loss, what of its gradient is the token's own, and what
// goes through the ratio. By IEEE operations only: CPU and GPU return the same bits. The formulas
// stand in docs/ops/policy_loss.md. Every product with an advantage or weight of 0 is 0, whatever
// it multiplies.
#pragma once

#include <cmath>
#include <limits>

#include "core/loss_arithmetic.hpp"
#include "core/portable_exp.hpp"
#include "logsum/policy_options.hpp"

namespace logsum {

struct PolicyToken {
  double logp, old, ref, sampling;
  double advantage;
  double weight;    // importance
  bool keeps_loss;  // entropy_mask
  bool has_ref;
};

// What is known of a sequence before its tokens' losses: all of it only where it is coupled.
struct PolicySequence {
  double length = 0;                // tokens that count
  double ratio = 1;                 // RatioLevel::sequence, gmpo
  double phi_pos = 1, phi_neg = 1;  // vespo
  bool is_on_policy = true;         // else tokens with A < 0 have no loss
};

enum class PolicyClip : int { none, low, high };

struct PolicyTerms {
  double loss = 0;  // w·l + beta·KL
  double kl = 0;
  double ratio = 1;
  double direct = 0;  // d loss/d logp but through the ratio
  double slope = 0;   // d loss/d log r
  double share = 1;   // d (length·log r)/d logp: 0 where the log-ratio is cut
  PolicyClip clip = PolicyClip::none;
};

// A loss that is linear in logp: a NaN of the advantage stays, though logp is 0.
LOGSUM_HOST_DEVICE inline double times_logp(double factor, double logp) {
  return factor == factor ? product(factor, logp) : factor;
}
LOGSUM_HOST_DEVICE inline double clamped(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;  // NaN stays
}

LOGSUM_HOST_DEVICE constexpr bool has_sequence_ratio(const PolicyOptions& o) {
  return o.ratio_level == RatioLevel::sequence || o.objective == Objective::gmpo;
}
// Whether a token's gradient asks for its sequence's log-probs.
LOGSUM_HOST_DEVICE constexpr bool is_coupled(const PolicyOptions& o) {
  return has_sequence_ratio(o) || o.objective == Objective::vespo ||
         o.off_policy_threshold < PolicyOptions::kNone;
}

// A token's log-ratio as its sequence's ratio has it: gmpo clips each.
struct PolicyLogRatio {
  double value;
  bool is_cut;
  PolicyClip clip = PolicyClip::none;

  LOGSUM_HOST_DEVICE PolicyLogRatio(const PolicyOptions& o, const PolicyToken& t) {
    const double raw = log_difference(t.logp, t.old);
    const double bound = static_cast<double>(o.log_ratio_clamp);
    value = clamped(raw, -bound, bound);
    is_cut = value != raw && raw == raw;
    if (o.objective != Objective::gmpo) return;
    if (t.advantage == 0) {
      value = 0;
      is_cut = true;
    } else if (t.advantage > 0 && value > static_cast<double>(o.epsilon_high)) {
      value = static_cast<double>(o.epsilon_high);
      clip = PolicyClip::high;
    } else if (t.advantage < 0 && value < -static_cast<double>(o.epsilon_low)) {
      value = -static_cast<double>(o.epsilon_low);
      clip = PolicyClip::low;
    }
    is_cut |= clip != PolicyClip::none;
  }
};

// What a token adds to what its sequence must know.
struct PolicyCoupling {
  double log_ratio = 0;
  double drift = 0;           // sampling − logp
  double clamped_ratio = 0;   // vespo: log-ratio within ±20
  double clamped_weight = 0;  // vespo: log of the importance weight

  LOGSUM_HOST_DEVICE PolicyCoupling() = default;
  LOGSUM_HOST_DEVICE PolicyCoupling(const PolicyOptions& o, const PolicyToken& t)
      : log_ratio(PolicyLogRatio(o, t).value), drift(log_difference(t.sampling, t.logp)) {
    if (o.objective != Objective::vespo) return;
    clamped_ratio = clamped(log_difference(t.logp, t.old), -20, 20);
    clamped_weight = vespo_log(t.weight);
  }

  // log w within [ln 1e-8, 20]. `w` was an f32.
  LOGSUM_HOST_DEVICE static double vespo_log(double w) {
    if (!(w > 1e-8)) return w == w ? kVespoLeast : w;
    return clamped(w < 1 ? -portable_log(1 / w) : portable_log(w), kVespoLeast, 20);
  }
  static constexpr double kVespoLeast = -18.420680743952367;  // ln 1e-8

  LOGSUM_HOST_DEVICE void add(const PolicyCoupling& other) {
    log_ratio += other.log_ratio;
    drift += other.drift;
    clamped_ratio += other.clamped_ratio;
    clamped_weight += other.clamped_weight;
  }
};

// Of a sequence of `length` tokens; `weight`: its importance weight where it is the sequence's own.
LOGSUM_HOST_DEVICE inline PolicySequence sequence_of(const PolicyOptions& o,
                                                     const PolicyCoupling& sum, double length,
                                                     bool has_own_weight, double weight) {
  PolicySequence s;
  s.length = length;
  if (length == 0) return s;
  if (has_sequence_ratio(o)) s.ratio = portable_exp(sum.log_ratio / length);
  s.is_on_policy = !(sum.drift / length > static_cast<double>(o.off_policy_threshold));
  if (o.objective == Objective::vespo) {
    const double of_weights =
        has_own_weight ? PolicyCoupling::vespo_log(weight) : sum.clamped_weight;
    const double log_w = clamped(sum.clamped_ratio + of_weights, PolicyCoupling::kVespoLeast, 20);
    const double w = portable_exp(log_w);
    const auto phi = [&](float k, float lambda) {
      const double value =
          portable_exp(static_cast<double>(lambda) + static_cast<double>(k) * log_w -
                       static_cast<double>(lambda) * w);
      return value < std::numeric_limits<double>::infinity() ? value : 0;  // NaN too
    };
    s.phi_pos = phi(o.vespo_k_pos, o.vespo_lambda_pos);
    s.phi_neg = phi(o.vespo_k_neg, o.vespo_lambda_neg);
  }
  return s;
}

// The exponentials that a token's terms ask for. Apart, so that a GPU's threads may make them side
// by side.
struct PolicyExponentials {
  double ratio = 1;
  double k3 = 0;
};

LOGSUM_HOST_DEVICE inline double kl_distance(const PolicyOptions& o, const PolicyToken& t) {
  const double d = log_difference(t.ref, t.logp);
  const double bound = static_cast<double>(o.kl_input_clamp);
  return o.kl_estimator >= KlEstimator::k3 ? clamped(d, -bound, bound) : d;
}

LOGSUM_HOST_DEVICE inline PolicyExponentials exponentials_of(const PolicyOptions& o,
                                                             const PolicyToken& t,
                                                             const PolicySequence& s) {
  PolicyExponentials e;
  e.ratio = has_sequence_ratio(o) ? s.ratio : portable_exp(PolicyLogRatio(o, t).value);
  if (t.has_ref && o.kl_estimator >= KlEstimator::k3) e.k3 = exp_minus_x_minus_1(kl_distance(o, t));
  return e;
}

// l of the objective and its derivatives.
LOGSUM_HOST_DEVICE inline void add_objective(const PolicyOptions& o, const PolicyToken& t,
                                             const PolicySequence& s, PolicyTerms& terms) {
  const double a = t.advantage, r = terms.ratio;
  const auto low = static_cast<double>(o.epsilon_low), high = static_cast<double>(o.epsilon_high);
  if (r != r) {
    terms.loss = terms.slope = r;
    return;
  }
  if (a == 0) return;
  switch (o.objective) {
    case Objective::clip: {
      const auto delta = static_cast<double>(o.delta), dual = static_cast<double>(o.dual_clip);
      if (a < 0 && r < 1 - low) terms.clip = PolicyClip::low;
      if (a > 0 && r > 1 + high) terms.clip = PolicyClip::high;
      bool is_active = terms.clip == PolicyClip::none && r <= delta;
      const double capped = (r < delta ? r : delta) * a,
                   bounded = clamped(r, 1 - low, 1 + high) * a;
      terms.loss = capped < bounded || capped != capped ? -capped : -bounded;
      if (a < 0 && r >= dual && dual < std::numeric_limits<double>::infinity()) {
        is_active = false;
        if (terms.loss > -dual * a) terms.loss = -dual * a;
      }
      if (is_active) terms.slope = -a * r;
      break;
    }
    case Objective::cispo: {
      const bool both = o.cispo_bounds == CispoBounds::both;
      const double most = both ? 1 + high : high;
      if (a > 0 && r > most) terms.clip = PolicyClip::high;
      if (both && a < 0 && r < 1 - low) terms.clip = PolicyClip::low;
      const double weight = both ? clamped(r, 1 - low, most) : r > most ? most : r;
      terms.loss = times_logp(-weight * a, t.logp);
      terms.direct = -weight * a;
      break;
    }
    case Objective::sapo: {
      const double tau = static_cast<double>(a > 0 ? o.sapo_tau_pos : o.sapo_tau_neg);
      const double e = portable_exp(-tau * (r - 1));
      const double sigmoid = 1 / (1 + e);
      terms.loss = -a * sigmoid * 4 / tau;
      terms.slope = product(-4 * a * sigmoid * (e / (1 + e)), r);
      break;
    }
    case Objective::gmpo:
      terms.loss = -a * r;
      terms.slope = -a * r;
      break;
    case Objective::vespo:
    case Objective::reinforce: {
      const double phi = o.objective == Objective::reinforce ? 1 : a > 0 ? s.phi_pos : s.phi_neg;
      terms.loss = times_logp(-phi * a, t.logp);
      terms.direct = -phi * a;
      break;
    }
  }
}

LOGSUM_HOST_DEVICE inline void add_kl(const PolicyOptions& o, const PolicyToken& t, double k3,
                                      PolicyTerms& terms) {
  if (!t.has_ref) return;
  const double d = log_difference(t.ref, t.logp), r = terms.ratio;
  double derivative = 1;  // of the estimate by logp
  bool telescopes = false;
  switch (o.kl_estimator) {
    case KlEstimator::k1: terms.kl = 0 - d; break;
    case KlEstimator::k2:
      terms.kl = 0.5 * d * d;
      derivative = 0 - d;
      break;
    default: {
      const auto most = static_cast<double>(o.kl_output_clamp);
      const bool is_inside = !(std::fabs(d) > static_cast<double>(o.kl_input_clamp) || k3 > most);
      terms.kl = k3 > most ? most : k3;
      // 1 − e^d = −(k3 + d), but of −∞
      const double slope = d == -std::numeric_limits<double>::infinity() ? 1 : 0 - (k3 + d);
      derivative = o.kl_estimator == KlEstimator::k3_plus ? 0 - d : is_inside ? slope : 0;
      telescopes = o.kl_estimator == KlEstimator::k3 && is_inside;
    }
  }
  const auto beta = static_cast<double>(o.beta);
  if (beta == 0) return;
  if (!o.use_bias_correction_kl) {
    terms.loss += beta * terms.kl;
    terms.direct += beta * derivative;
    return;
  }
  terms.loss += beta * product(r, terms.kl);
  if (has_sequence_ratio(o) || terms.share == 0) {
    terms.direct += beta * product(r, derivative);
    terms.slope += beta * product(r, terms.kl);
  } else {  // r·(1 − e^d) + r·k3 would lose all of −r·d where e^d is large
    terms.direct += beta * product(r, telescopes ? 0 - d : derivative + terms.kl);
  }
}

LOGSUM_HOST_DEVICE inline PolicyTerms terms_of(const PolicyOptions& o, const PolicyToken& t,
                                               const PolicySequence& s,
                                               const PolicyExponentials& e) {
  PolicyTerms terms;
  const PolicyLogRatio log_ratio(o, t);
  terms.ratio = e.ratio;
  terms.share = log_ratio.is_cut ? 0 : 1;
  add_objective(o, t, s, terms);
  if (o.objective == Objective::gmpo) terms.clip = log_ratio.clip;
  const bool counts = t.keeps_loss && (s.is_on_policy || t.advantage >= 0);
  const double weight = !counts ? 0 : o.objective == Objective::vespo ? 1 : t.weight;
  terms.loss = product(terms.loss, weight);
  terms.direct = product(terms.direct, weight);
  terms.slope = product(terms.slope, weight);
  add_kl(o, t, e.k3, terms);
  return terms;
}

}  // namespace logsum
