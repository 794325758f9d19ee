// SPDX-License-Identifier: Apache-2.0
// The losses of a pair of sequences, and of one with a flag, in f64, and their derivatives by the
// sequences' summed log-probs. By IEEE operations only: CPU and GPU return the same bits. The
// formulas stand in docs/ops/preference_loss.md.
#pragma once

#include "core/loss_arithmetic.hpp"
#include "core/portable_sigmoid.hpp"
#include "logsum/preference_options.hpp"

namespace logsum {

// Sums over the tokens of a sequence.
struct PreferenceSequence {
  double logps = 0;
  double ref = 0;     // of the reference
  double length = 0;  // tokens that count

  LOGSUM_HOST_DEVICE void add(const PreferenceSequence& other) {
    logps += other.logps;
    ref += other.ref;
    length += other.length;
  }
};

struct PreferenceTerms {
  double loss = 0;
  double chosen = 0, rejected = 0;  // d loss/d S of either; kto: chosen is the sequence's
  bool is_right = false;            // the preferred one has the larger reward
};

LOGSUM_HOST_DEVICE constexpr bool has_reference(PreferenceLoss loss) {
  return loss != PreferenceLoss::simpo && loss != PreferenceLoss::orpo;
}

// What a loss knows of a sequence, and its derivative by the sum of log-probs.
struct PreferenceScore {
  double value, slope = 1;

  LOGSUM_HOST_DEVICE PreferenceScore(const PreferenceOptions& o, const PreferenceSequence& s)
      : value(log_difference(s.logps, s.ref)) {
    if (!o.length_average || s.length == 0) return;
    slope = 1 / s.length;
    value /= s.length;
  }
};

LOGSUM_HOST_DEVICE inline double reward_of(const PreferenceOptions& o,
                                           const PreferenceSequence& s) {
  const double score =
      has_reference(o.loss) ? log_difference(s.logps, s.ref) : PreferenceScore(o, s).value;
  return score != score ? score : product(static_cast<double>(o.beta), score);
}

// p/(1 − p) of p = e^a, a ≤ 0.
struct LogOdds {
  double value;  // +∞ at a = 0, −∞ at −∞
  double rest;   // 1 − p

  LOGSUM_HOST_DEVICE explicit LogOdds(double a) : rest(0 - portable_expm1(a)) {
    value = rest == 0 ? std::numeric_limits<double>::infinity() : a + portable_log(1 / rest);
  }
};

// −beta·log σ(x), x the difference of the log-odds, and its derivatives by the log-probs. σ(−x)
// and the odds' derivative 1/(1 − p) are one quotient: their product stays finite as the chosen p
// nears 1, where the one is 0 and the other infinite.
LOGSUM_HOST_DEVICE inline void add_odds_ratio(double beta, double chosen, double rejected,
                                              PreferenceTerms& terms) {
  const LogOdds c(chosen), r(rejected);
  terms.loss = product(beta, softplus(0 - log_difference(c.value, r.value)));
  const double distance = log_difference(rejected, chosen);
  const double ratio = portable_exp(-std::fabs(distance));  // of the smaller p to the larger
  const double of_chosen = distance > 0 ? 1 : ratio, of_rejected = distance > 0 ? ratio : 1;
  const double below = of_chosen * c.rest + of_rejected * r.rest;
  terms.chosen = 0 - product(beta, of_chosen / below);
  terms.rejected = product(beta, of_chosen * c.rest / below / r.rest);
}

LOGSUM_HOST_DEVICE inline PreferenceTerms pair_terms(const PreferenceOptions& o,
                                                     const PreferenceSequence& chosen,
                                                     const PreferenceSequence& rejected) {
  const PreferenceScore c(o, chosen), r(o, rejected);
  const double d = log_difference(c.value, r.value);
  if (d != d) return {d, d, d};
  const auto beta = static_cast<double>(o.beta);
  PreferenceTerms terms;
  terms.is_right = reward_of(o, chosen) > reward_of(o, rejected);
  double slope = 0;  // d loss/d d
  switch (o.loss) {
    case PreferenceLoss::hinge: {
      const double room = 1 - product(beta, d);
      terms.loss = room > 0 ? room : 0;
      slope = room > 0 ? -beta : 0;
      break;
    }
    case PreferenceLoss::ipo: {
      const double distance = d - 1 / (2 * beta);
      terms.loss = distance * distance;
      slope = 2 * distance;
      break;
    }
    case PreferenceLoss::orpo: add_odds_ratio(beta, c.value, r.value, terms); break;
    default: {
      const double gamma = o.loss == PreferenceLoss::simpo ? static_cast<double>(o.gamma) : 0;
      const double x = product(beta, d) - gamma;
      const auto flipped = static_cast<double>(o.label_smoothing);
      terms.loss = product(1 - flipped, softplus(-x)) + product(flipped, softplus(x));
      slope = beta * (flipped * sigmoid(x) - (1 - flipped) * sigmoid(-x));
    }
  }
  if (o.loss != PreferenceLoss::orpo) {
    terms.chosen = slope;
    terms.rejected = 0 - slope;
  }
  terms.chosen = product(terms.chosen, c.slope);
  terms.rejected = product(terms.rejected, r.slope);
  return terms;
}

LOGSUM_HOST_DEVICE inline PreferenceTerms kto_terms(const PreferenceOptions& o,
                                                    const PreferenceSequence& sequence,
                                                    bool is_desirable, double kl) {
  const PreferenceScore score(o, sequence);
  if (score.value != score.value) return {score.value, score.value};
  const auto beta = static_cast<double>(o.beta);
  const double sign = is_desirable ? 1 : -1;
  const auto weight = static_cast<double>(is_desirable ? o.desirable_weight : o.undesirable_weight);
  const double distance = sign * (score.value - kl);
  const double x = product(beta, distance), missing = sigmoid(-x);
  PreferenceTerms terms;
  terms.loss = weight * missing;
  terms.chosen = 0 - sign * weight * beta * sigmoid(x) * missing * score.slope;
  terms.is_right = distance > 0;
  return terms;
}

}  // namespace logsum
