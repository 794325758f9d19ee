// SPDX-License-Identifier: Apache-2.0
// policy_loss by its text: the loss of a sequence as a function of its log-probs, run once more for
// each token with that token's derivative.
#include "ops/policy_loss.hpp"

#include "core/backend.hpp"
#include "reference/loss.hpp"

namespace logsum::reference {
namespace {

struct Token {
  std::int64_t row = 0;
  double logp = kNan, entropy = kNan;
  RowStatus status = RowStatus::ok;
  double old = 0, ref = 0, sampling = 0, advantage = 0, weight = 1;
  bool keeps_loss = true;
  // Results.
  double loss = 0, kl = 0, ratio = 1, g = 0;
  int clip = 0;  // −1: low, 1: high
};

// e^d − d − 1, by Taylor's series where the difference would cancel.
Dual k3_of(Dual d) {
  if (std::isinf(d.v)) return {kInf, d.v > 0 ? kInf * d.d : -d.d};
  const double x = d.v;
  const double value =
      std::fabs(x) > 1e-3 ? std::expm1(x) - x : x * x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5)));
  return {value, times(std::expm1(x), d.d)};
}

class Sequence {
 public:
  Sequence(const PolicyLossPlan& plan, std::vector<Token>& tokens, bool has_own_weight)
      : plan_(plan), o_(plan.options), tokens_(tokens), has_own_weight_(has_own_weight) {}

  // Σ u·(w·l + beta·KL) with token `seeded`'s log-prob varying; fills the tokens' values.
  Dual loss(double u, std::int64_t seeded) {
    std::vector<Dual> logps;
    for (std::size_t t = 0; t < tokens_.size(); ++t)
      logps.push_back({tokens_[t].logp, std::int64_t(t) == seeded ? 1.0 : 0.0});
    know_sequence(logps);
    Dual sum;
    for (std::size_t t = 0; t < tokens_.size(); ++t)
      sum = sum + u * token_loss(logps[t], tokens_[t]);
    return sum;
  }

 private:
  static double as_double(float x) { return static_cast<double>(x); }

  Dual log_ratio(Dual logp, const Token& token) const {
    const Dual old = plan_.old_logps ? Dual(token.old) : stop_gradient(logp);
    return clamp(logp - old, -as_double(o_.log_ratio_clamp), as_double(o_.log_ratio_clamp));
  }

  void know_sequence(const std::vector<Dual>& logps) {
    const auto n = static_cast<double>(tokens_.size());
    Dual sum;
    double drift = 0, log_w = 0, log_weights = 0;
    for (std::size_t t = 0; t < tokens_.size(); ++t) {
      const Token& token = tokens_[t];
      const Dual lr = log_ratio(logps[t], token);
      Dual part = lr;
      if (o_.objective == Objective::gmpo) {
        const double sign = token.advantage > 0 ? 1 : token.advantage < 0 ? -1 : 0;
        const Dual clipped = clamp(lr, -as_double(o_.epsilon_low), as_double(o_.epsilon_high));
        part = sign == 0 ? Dual() : sign * min(sign * lr, sign * clipped);
      }
      sum = sum + part;
      drift += (Dual(token.sampling) - logps[t]).v;
      log_w += std::min(std::max((logps[t] - Dual(token.old)).v, -20.0), 20.0);
      log_weights += log_weight(token.weight);
    }
    ratio_ = exp(sum / n);
    is_on_policy_ = !(drift / n > as_double(o_.off_policy_threshold));
    if (o_.objective != Objective::vespo || tokens_.empty()) return;
    log_w += has_own_weight_ ? log_weight(tokens_[0].weight) : log_weights;
    log_w = std::min(std::max(log_w, std::log(1e-8)), 20.0);
    const auto phi = [&](float k, float lambda) {
      const double x =
          std::exp(as_double(lambda) + as_double(k) * log_w - as_double(lambda) * std::exp(log_w));
      return std::isfinite(x) ? x : 0;
    };
    phi_pos_ = phi(o_.vespo_k_pos, o_.vespo_lambda_pos);
    phi_neg_ = phi(o_.vespo_k_neg, o_.vespo_lambda_neg);
  }

  static double log_weight(double w) {
    if (std::isnan(w)) return w;
    return std::min(std::max(std::log(std::max(w, 0.0)), std::log(1e-8)), 20.0);
  }

  Dual token_loss(Dual logp, Token& token) const {
    const bool of_sequence =
        o_.ratio_level == RatioLevel::sequence || o_.objective == Objective::gmpo;
    const Dual r = of_sequence ? ratio_ : exp(log_ratio(logp, token));
    const bool counts = token.keeps_loss && (is_on_policy_ || token.advantage >= 0);
    const double weight = !counts ? 0 : o_.objective == Objective::vespo ? 1 : token.weight;
    Dual loss = weight * objective(logp, r, token);
    if (plan_.ref_logps) {
      const Dual d = Dual(token.ref) - logp;
      Dual kl = estimate(d);
      token.kl = kl.v;
      if (o_.use_bias_correction_kl) kl = telescoped(r, kl, d, of_sequence);
      loss = loss + as_double(o_.beta) * kl;
    }
    token.ratio = r.v;
    token.loss = loss.v;
    note_clip(logp, token);
    return loss;
  }

  Dual objective(Dual logp, Dual r, const Token& token) const {
    const double a = token.advantage;
    if (std::isnan(r.v) || std::isnan(a)) return {kNan, times(kNan, r.d + logp.d)};
    if (a == 0) return {};
    const double low = as_double(o_.epsilon_low), high = as_double(o_.epsilon_high);
    switch (o_.objective) {
      case Objective::clip: {
        const Dual one = min(r, Dual(as_double(o_.delta))), two = clamp(r, 1 - low, 1 + high);
        Dual loss = Dual(-1) * min(one * a, two * a);
        if (a < 0 && o_.dual_clip < PolicyOptions::kNone && r.v >= as_double(o_.dual_clip))
          loss = min(stop_gradient(loss), Dual(-as_double(o_.dual_clip) * a));
        return loss;
      }
      case Objective::cispo: {
        const Dual weight =
            o_.cispo_bounds == CispoBounds::both ? clamp(r, 1 - low, 1 + high) : min(r, Dual(high));
        return stop_gradient(weight) * (-a) * logp;
      }
      case Objective::sapo: {
        const double tau = as_double(a > 0 ? o_.sapo_tau_pos : o_.sapo_tau_neg);
        const Dual sigmoid = Dual(1) / (Dual(1) + exp(Dual(-tau) * (r - Dual(1))));
        return Dual(-a * 4 / tau) * sigmoid;
      }
      case Objective::gmpo: return Dual(-a) * r;
      case Objective::vespo: return Dual(-a * (a > 0 ? phi_pos_ : phi_neg_)) * logp;
      default: return Dual(-a) * logp;
    }
  }

  Dual estimate(Dual d) const {
    switch (o_.kl_estimator) {
      case KlEstimator::k1: return Dual(-1) * d;
      case KlEstimator::k2: return Dual(0.5) * d * d;
      default: break;
    }
    const double most = as_double(o_.kl_input_clamp);
    Dual kl = clamp(k3_of(clamp(d, -most, most)), -kInf, as_double(o_.kl_output_clamp));
    if (o_.kl_estimator == KlEstimator::k3_plus) kl.d = (Dual(0.5) * d * d).d;
    return kl;
  }

  // r·KL; of a token's own ratio and k3 the derivative is −r·d, of which the product rule would
  // leave nothing where e^d is large.
  Dual telescoped(Dual r, Dual kl, Dual d, bool of_sequence) const {
    Dual result = r * kl;
    const bool is_k3 = o_.kl_estimator == KlEstimator::k3 &&
                       std::fabs(d.v) <= as_double(o_.kl_input_clamp) &&
                       k3_of(d).v <= as_double(o_.kl_output_clamp);
    if (!of_sequence && is_k3 && r.d != 0) result.d = times(r.v, -d.v) * -d.d;
    return result;
  }

  void note_clip(Dual logp, Token& token) const {
    const double a = token.advantage, r = token.ratio;
    double low = 1 - as_double(o_.epsilon_low), high = 1 + as_double(o_.epsilon_high);
    double x = r;
    token.clip = 0;
    switch (o_.objective) {
      case Objective::clip: break;
      case Objective::cispo:
        if (o_.cispo_bounds == CispoBounds::upper) {
          low = -kInf;
          high = as_double(o_.epsilon_high);
        }
        break;
      case Objective::gmpo:
        low = -as_double(o_.epsilon_low);
        high = as_double(o_.epsilon_high);
        x = log_ratio(logp, token).v;
        break;
      default: return;
    }
    if (a < 0 && x < low) token.clip = -1;
    if (a > 0 && x > high) token.clip = 1;
  }

  const PolicyLossPlan& plan_;
  const PolicyOptions& o_;
  std::vector<Token>& tokens_;
  bool has_own_weight_;
  Dual ratio_;
  double phi_pos_ = 1, phi_neg_ = 1;
  bool is_on_policy_ = true;
};

Token read_token(const PolicyLossPlan& plan, const PolicyTotals& totals, std::int64_t row,
                 std::int64_t sequence) {
  Token token;
  token.row = row;
  const LossRow scored = loss_row(plan, totals, row);
  token.status = scored.status;
  token.logp = scored.logp;
  token.entropy = totals.is_valid ? scored.entropy : kNan;
  token.old = plan.old_logps ? plan.old_logps.real(row) : token.logp;
  token.ref = plan.ref_logps ? plan.ref_logps.real(row) : 0;
  token.sampling = plan.sampling_logps ? plan.sampling_logps.real(row) : token.old;
  token.advantage = plan.advantages.at(row, sequence);
  if (plan.weights.tensor) token.weight = plan.weights.at(row, sequence);
  token.keeps_loss = plan.keeps_loss(row);
  return token;
}

bool fits(double x) {
  return std::fabs(x) <= static_cast<double>(std::numeric_limits<float>::max());
}

// A sequence's tokens that count, with all results.
std::vector<Token> run_sequence(const PolicyLossPlan& plan, const PolicyTotals& totals,
                                std::int64_t i) {
  std::vector<Token> tokens;
  const TokenRange span = plan.sequences.range(i);
  for (std::int64_t row = span.begin; row < span.end; ++row)
    if (plan.counts(row)) tokens.push_back(read_token(plan, totals, row, i));
  Sequence sequence(plan, tokens, plan.weights.tensor && plan.weights.is_per_sequence);
  const double u = plan.unit(totals, static_cast<double>(tokens.size()));
  for (std::size_t t = 0; t < tokens.size(); ++t)
    tokens[t].g = sequence.loss(u, static_cast<std::int64_t>(t)).d;
  return tokens;
}

PolicyTotals count_tokens(const PolicyLossPlan& plan) {
  std::int64_t kept = 0, kept_with_loss = 0, nonempty = 0;
  for (std::int64_t i = 0; i < plan.sequences.count; ++i) {
    const TokenRange span = plan.sequences.range(i);
    const std::int64_t before = kept;
    for (std::int64_t row = span.begin; row < span.end; ++row) {
      if (!plan.counts(row)) continue;
      ++kept;
      kept_with_loss += plan.keeps_loss(row);
    }
    nonempty += kept > before;
  }
  return plan.totals(kept, kept_with_loss, nonempty);
}

}  // namespace

Status policy_loss(const PolicyLossPlan& plan, const Context&) {
  if (plan.logits.rows == 0) {  // of however many sequences
    plan.write_totals({});
    return {};
  }
  const PolicyTotals totals = count_tokens(plan);
  PolicySums sums;
  std::vector<Token> all;
  for (std::int64_t i = 0; i < plan.sequences.count; ++i) {
    std::vector<Token> tokens = run_sequence(plan, totals, i);
    const double u = plan.unit(totals, static_cast<double>(tokens.size()));
    for (Token& token : tokens) {
      const double per_entropy = token.keeps_loss ? totals.per_entropy : 0;
      const bool is_scored = token.status == RowStatus::ok;
      if (!is_scored) token.loss = token.kl = kNan;
      sums.loss += u * token.loss - times(per_entropy, plan.has_entropy ? token.entropy : 0);
      if (is_scored &&
          !(fits(token.loss) && fits(token.g) && fits(token.kl) && token.ratio == token.ratio))
        token.status = RowStatus::overflow;
      if (token.status != RowStatus::ok) {
        ++sums.bad;
        continue;
      }
      ++sums.scored;
      sums.kl += token.kl;
      sums.entropy += plan.has_entropy ? token.entropy : 0;
      sums.ratio += token.ratio;
      sums.ratio_squared += token.ratio * token.ratio;
      sums.ratio_min = std::min(sums.ratio_min, token.ratio);
      sums.ratio_max = std::max(sums.ratio_max, token.ratio);
      sums.clip_low += token.clip < 0;
      sums.clip_high += token.clip > 0;
    }
    all.insert(all.end(), tokens.begin(), tokens.end());
  }
  plan.write_totals(sums);
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    if (!plan.counts(row)) plan.write_masked(row);
    if (plan.wants_gradient()) write_rest(plan, row);
  }
  for (const Token& token : all) {
    plan.per_token_loss.set(token.row, static_cast<float>(token.loss));
    plan.per_token_kl.set(token.row, static_cast<float>(token.kl));
    plan.per_token_logps.set(token.row, static_cast<float>(token.logp));
    plan.entropy.set(token.row, static_cast<float>(token.entropy));
    plan.row_status.set_integer(token.row, 0, static_cast<int>(token.status));
    if (plan.wants_gradient())
      write_gradient(plan, totals, token.row, token.status,
                     {token.g, token.keeps_loss ? totals.per_entropy : 0});
  }
  return {};
}

}  // namespace logsum::reference
