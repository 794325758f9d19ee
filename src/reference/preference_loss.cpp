// SPDX-License-Identifier: Apache-2.0
// preference_loss by its text: the loss of a pair as a function of its sequences' summed log-probs,
// run once for each of them with its derivative.
#include "ops/preference_loss.hpp"

#include "core/backend.hpp"
#include "reference/loss.hpp"

namespace logsum::reference {
namespace {

Dual logistic(Dual x) {
  const double e = std::exp(-std::fabs(x.v)), value = (x.v < 0 ? e : 1) / (1 + e);
  return {value, times(e / (1 + e) / (1 + e), x.d)};
}

Dual log_logistic(Dual x) {
  const double value = std::min(x.v, 0.0) - std::log1p(std::exp(-std::fabs(x.v)));
  return {value, times(logistic(-1 * x).v, x.d)};
}

// log p − log(1 − p) of p = e^a.
Dual log_odds(Dual a) {
  const double rest = -std::expm1(a.v);
  return {a.v - std::log(rest), times(1 / rest, a.d)};
}

using Sequence = PreferenceSequence;

class Loss {
 public:
  explicit Loss(const PreferenceLossPlan& plan, const PreferenceTotals& totals)
      : o_(plan.options), totals_(totals) {}

  Dual of_pair(Dual chosen_logps, const Sequence& chosen, Dual rejected_logps,
               const Sequence& rejected) const {
    const Dual c = score(chosen_logps, chosen), r = score(rejected_logps, rejected), d = c - r;
    const double beta = as_double(o_.beta), epsilon = as_double(o_.label_smoothing);
    if (std::isnan(d.v)) return {kNan, kNan};
    switch (o_.loss) {
      case PreferenceLoss::hinge: {
        const Dual loss = Dual(1) - beta * d;
        return loss.v > 0 ? loss : Dual(0);
      }
      case PreferenceLoss::ipo: {
        const Dual distance = d - Dual(1 / (2 * beta));
        return distance * distance;
      }
      case PreferenceLoss::orpo: return Dual(-beta) * log_logistic(log_odds(c) - log_odds(r));
      default: {
        const Dual x = beta * d - Dual(o_.loss == PreferenceLoss::simpo ? as_double(o_.gamma) : 0);
        return Dual(epsilon - 1) * log_logistic(x) + Dual(-epsilon) * log_logistic(-1 * x);
      }
    }
  }

  Dual of_one(Dual logps, const Sequence& sequence, bool desirable) const {
    const Dual distance = score(logps, sequence) - Dual(totals_.kl);
    if (std::isnan(distance.v)) return {kNan, kNan};
    const double weight = as_double(desirable ? o_.desirable_weight : o_.undesirable_weight);
    const Dual x = Dual(as_double(o_.beta)) * (desirable ? distance : -1 * distance);
    return Dual(weight) * logistic(-1 * x);
  }

 private:
  static double as_double(float x) { return static_cast<double>(x); }

  Dual score(Dual logps, const Sequence& s) const {
    const Dual difference = logps - Dual(s.ref);
    return o_.length_average && s.length > 0 ? difference / Dual(s.length) : difference;
  }

  const PreferenceOptions& o_;
  const PreferenceTotals& totals_;
};

double reward(const PreferenceLossPlan& plan, const Sequence& s) {
  const PreferenceOptions& o = plan.options;
  const bool is_mean = o.length_average && s.length > 0 &&
                       (o.loss == PreferenceLoss::simpo || o.loss == PreferenceLoss::orpo);
  return static_cast<double>(o.beta) * (Dual(s.logps) - Dual(s.ref)).v / (is_mean ? s.length : 1);
}

class Batch {
 public:
  explicit Batch(const PreferenceLossPlan& plan) : plan_(plan) {
    std::int64_t kept = 0, nll_tokens = 0;
    for (std::int64_t i = 0; i < plan.sequences.count; ++i) {
      const TokenRange span = plan.sequences.range(i);
      for (std::int64_t row = span.begin; row < span.end; ++row) {
        kept += plan.counts(row);
        nll_tokens += plan.counts(row) && plan.is_chosen(i);
      }
    }
    totals_ = plan.totals(kept, nll_tokens);
    for (std::int64_t i = 0; i < plan.sequences.count; ++i) read_sequence(i);
  }

  void run() {
    PreferenceSums sums;
    for (std::int64_t pair = 0; pair < plan_.pairs(); ++pair)
      sums.add(plan_.write_pair(totals_, pair, terms(pair), at(pair), at(plan_.other_of(pair)),
                                slopes_.data()));
    plan_.write_totals(sums);
    for (std::int64_t row = 0; row < plan_.logits.rows; ++row) finish_row(row);
  }

 private:
  const Sequence& at(std::int64_t i) const { return sequences_[static_cast<std::size_t>(i)]; }

  void read_sequence(std::int64_t i) {
    Sequence s;
    const TokenRange span = plan_.sequences.range(i);
    for (std::int64_t row = span.begin; row < span.end; ++row) {
      if (!plan_.counts(row)) continue;
      s.logps += loss_row(plan_, totals_, row).logp;
      s.length += 1;
      if (plan_.ref_per_token_logps) s.ref += plan_.ref_per_token_logps.real(row);
    }
    if (plan_.ref_logps) s.ref = plan_.ref_logps.real(i);
    sequences_.push_back(s);
    slopes_.emplace_back();
  }

  PreferenceTerms terms(std::int64_t pair) const {
    const Loss loss(plan_, totals_);
    const Sequence& c = at(pair);
    if (!plan_.is_paired()) {
      const bool desirable = plan_.is_chosen(pair);
      const Dual value = loss.of_one({c.logps, 1}, c, desirable);
      const double score = (Dual(c.logps) - Dual(c.ref)).v /
                           (plan_.options.length_average && c.length > 0 ? c.length : 1);
      return {value.v, value.d, 0, desirable ? score > totals_.kl : score < totals_.kl};
    }
    const Sequence& r = at(pair + plan_.pairs());
    const Dual by_chosen = loss.of_pair({c.logps, 1}, c, r.logps, r);
    const Dual by_rejected = loss.of_pair(c.logps, c, {r.logps, 1}, r);
    return {by_chosen.v, by_chosen.d, by_rejected.d, reward(plan_, c) > reward(plan_, r)};
  }

  void finish_row(std::int64_t row) const {
    if (plan_.wants_gradient()) write_rest(plan_, row);
    if (!plan_.counts(row)) return plan_.write_masked(row);
    const auto sequence = static_cast<std::size_t>(plan_.sequence_of_row(row));
    LossRow scored = loss_row(plan_, totals_, row);
    plan_.write_token(row, slopes_[sequence], static_cast<float>(scored.logp), scored.status);
    if (plan_.wants_gradient())
      write_gradient(plan_, totals_, row, scored.status, {slopes_[sequence].g});
  }

  const PreferenceLossPlan& plan_;
  PreferenceTotals totals_;
  std::vector<Sequence> sequences_;
  std::vector<PreferenceSlope> slopes_;
};

}  // namespace

Status preference_loss(const PreferenceLossPlan& plan, const Context&) {
  Batch(plan).run();
  return {};
}

}  // namespace logsum::reference
