// SPDX-License-Identifier: Apache-2.0
// The policy losses as TRL's trainer computes them, step by step in float64: from log-probs and
// entropies, or from logits. Without a derivative: tests take differences. Where a gradient stops,
// the value is that of the point where they are taken.
#pragma once

#include "support/loss_text.hpp"
#include "support/policy.hpp"

namespace logsum::test {

struct PolicyText {
  struct Result {
    double loss = 0;
    double size = 0;    // Σ of the terms' sizes
    double margin = 1;  // from the nearest bound that a token's value is compared with
    std::vector<double> token_loss, kl, ratio;
    std::vector<int> clip;  // −1: low, 1: high
  };

  const Policy& p;
  std::vector<double> base;  // log-probs where gradients stop

  std::vector<std::size_t> kept(std::int64_t sequence) const {
    std::vector<std::size_t> rows;
    for (std::size_t i = p.begin_of(sequence); i < p.begin_of(sequence + 1); ++i)
      if (p.counts(i)) rows.push_back(i);
    return rows;
  }

  // The weight u of a token of this sequence in the loss.
  double unit(std::int64_t sequence) const {
    double n = p.normalizer, tokens = 0, nonempty = 0;
    for (std::int64_t i = 0; i < p.sequences; ++i) {
      tokens += static_cast<double>(kept(i).size());
      nonempty += !kept(i).empty();
    }
    const auto all = static_cast<double>(p.sequences), length = double(kept(sequence).size());
    const double counted = p.options.count_empty_sequences ? all : nonempty;
    switch (p.options.aggregation) {
      case Aggregation::token_mean: return 1 / std::max(n != 0 ? n : tokens, 1e-30);
      case Aggregation::sequence_mean: return 1 / (n != 0 ? n : counted) / std::max(length, 1.0);
      case Aggregation::sequence_sum_mean: return 1 / (n != 0 ? n : counted);
      default: return 1 / (n != 0 ? n : static_cast<double>(p.rows()));
    }
  }
  double entropy_unit() const {
    double kept_tokens = 0;
    for (std::size_t i = 0; i < p.rows(); ++i) kept_tokens += p.counts(i) && p.keeps_loss(i);
    double n = p.entropy_normalizer;
    if (n == 0 && p.options.aggregation == Aggregation::token_mean) n = p.normalizer;
    return real(p.options.entropy_coef) / std::max(n != 0 ? n : kept_tokens, 1e-30);
  }

  Result at(const std::vector<double>& lp, const std::vector<double>& entropies) const {
    Result result;
    result.token_loss.resize(p.rows());
    result.kl.resize(p.rows());
    result.ratio.resize(p.rows(), 1);
    result.clip.resize(p.rows());
    for (std::int64_t b = 0; b < p.sequences; ++b) add_sequence(b, lp, result);
    for (std::size_t i = 0; i < p.rows(); ++i)
      if (p.counts(i) && p.keeps_loss(i)) {
        result.loss -= entropy_unit() * entropies[i];
        result.size += std::fabs(entropy_unit() * entropies[i]);
      }
    return result;
  }

  static double real(float x) { return static_cast<double>(x); }

 private:
  double old(std::size_t i) const { return p.old.empty() ? base[i] : real(p.old[i]); }
  double advantage(std::size_t i) const { return real(p.of_token(p.advantages, i)); }
  double weight(std::size_t i) const {
    return p.weights.empty() ? 1 : real(p.of_token(p.weights, i));
  }

  void add_sequence(std::int64_t b, const std::vector<double>& lp, Result& result) const {
    const PolicyOptions& o = p.options;
    const std::vector<std::size_t> rows = kept(b);
    const auto n = static_cast<double>(std::max<std::size_t>(rows.size(), 1));
    const double low = real(o.epsilon_low), high = real(o.epsilon_high);
    double mean = 0, drift = 0, log_w = 0;
    std::vector<double> log_ratios;
    const auto near = [&](double x, double bound) {
      result.margin = std::min(result.margin, std::fabs(x - bound));
    };
    for (const std::size_t i : rows) {
      double lr = lp[i] - old(i);
      near(std::fabs(lr), real(o.log_ratio_clamp));
      lr = std::clamp(lr, -real(o.log_ratio_clamp), real(o.log_ratio_clamp));
      log_ratios.push_back(lr);
      if (o.objective == Objective::gmpo) {
        near(lr, -low);
        near(lr, high);
        const double s = advantage(i) > 0 ? 1 : advantage(i) < 0 ? -1 : 0;
        mean += s * std::min(s * lr, s * std::clamp(lr, -low, high)) / n;
      } else {
        mean += lr / n;
      }
      drift += ((p.sampling.empty() ? old(i) : real(p.sampling[i])) - base[i]) / n;
      log_w += std::clamp(base[i] - old(i), -20.0, 20.0);
      if (p.weights.empty() || p.is_per_sequence(p.weights)) continue;
      log_w += std::clamp(std::log(weight(i)), std::log(1e-8), 20.0);
    }
    if (!p.weights.empty() && p.is_per_sequence(p.weights) && !rows.empty())
      log_w += std::clamp(std::log(weight(rows[0])), std::log(1e-8), 20.0);
    log_w = std::clamp(log_w, std::log(1e-8), 20.0);
    near(drift, real(o.off_policy_threshold));
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const std::size_t i = rows[k];
      const double a = advantage(i);
      const bool is_token = o.ratio_level == RatioLevel::token && o.objective != Objective::gmpo;
      const double r = std::exp(is_token ? log_ratios[k] : mean);
      double l = objective(a, r, lp[i], base_ratio(i, r), phi(a, log_w), near);
      if (a < 0 && drift > real(o.off_policy_threshold)) l = 0;
      if (!p.keeps_loss(i)) l = 0;
      if (o.objective != Objective::vespo) l *= weight(i);
      double kl = p.ref.empty() ? 0 : estimate(real(p.ref[i]), lp[i], base[i], near);
      result.kl[i] = kl;
      if (o.use_bias_correction_kl) kl *= r;
      const double u = unit(b);
      result.token_loss[i] = l + real(o.beta) * kl;
      result.loss += u * result.token_loss[i];
      result.size += u * (std::fabs(l) + real(o.beta) * std::fabs(kl));
      result.ratio[i] = r;
      result.clip[i] = clip_of(a, o.objective == Objective::gmpo ? log_ratios[k] : r);
    }
  }

  // cispo's weight has no gradient.
  double base_ratio(std::size_t i, double r) const {
    if (p.options.ratio_level == RatioLevel::token) {
      const double most = real(p.options.log_ratio_clamp);
      return std::exp(std::clamp(base[i] - old(i), -most, most));
    }
    double mean = 0;
    const std::vector<std::size_t> rows = kept(p.sequence_of(i));
    const double most = real(p.options.log_ratio_clamp);
    for (const std::size_t k : rows)
      mean += std::clamp(base[k] - old(k), -most, most) / static_cast<double>(rows.size());
    return p.options.objective == Objective::cispo ? std::exp(mean) : r;
  }

  double phi(double a, double log_w) const {
    const PolicyOptions& o = p.options;
    const double k = real(a >= 0 ? o.vespo_k_pos : o.vespo_k_neg);
    const double lambda = real(a >= 0 ? o.vespo_lambda_pos : o.vespo_lambda_neg);
    const double value = std::exp(lambda + k * log_w - lambda * std::exp(log_w));
    return std::isfinite(value) ? value : 0;
  }

  template <class Near>
  double objective(double a, double r, double lp, double stopped, double phi,
                   const Near& near) const {
    const PolicyOptions& o = p.options;
    const double low = 1 - real(o.epsilon_low), high = 1 + real(o.epsilon_high);
    switch (o.objective) {
      case Objective::clip: {
        for (const double bound : {low, high, real(o.delta), real(o.dual_clip)}) near(r, bound);
        const double capped = std::min(r, real(o.delta)) * a;
        const double l = -std::min(capped, std::clamp(r, low, high) * a);
        return a < 0 && std::isfinite(o.dual_clip) ? std::min(l, -real(o.dual_clip) * a) : l;
      }
      case Objective::cispo:
        if (o.cispo_bounds == CispoBounds::both) return -std::clamp(stopped, low, high) * a * lp;
        return -std::min(stopped, real(o.epsilon_high)) * a * lp;
      case Objective::sapo: {
        const double tau = real(a > 0 ? o.sapo_tau_pos : o.sapo_tau_neg);
        return -a / (1 + std::exp(-tau * (r - 1))) * 4 / tau;
      }
      case Objective::gmpo: return -a * r;
      case Objective::vespo: return -phi * a * lp;
      default: return -a * lp;
    }
  }

  template <class Near>
  double estimate(double ref, double lp, double base_lp, const Near& near) const {
    const PolicyOptions& o = p.options;
    const auto k3 = [&](double x) {
      const double most = real(o.kl_input_clamp), d = std::clamp(ref - x, -most, most);
      near(std::fabs(ref - x), most);
      const double value = std::expm1(d) - d;
      near(value, real(o.kl_output_clamp));
      return std::min(value, real(o.kl_output_clamp));
    };
    const auto k2 = [&](double x) { return (ref - x) * (ref - x) / 2; };
    switch (o.kl_estimator) {
      case KlEstimator::k1: return lp - ref;
      case KlEstimator::k2: return k2(lp);
      case KlEstimator::k3: return k3(lp);
      default: return k3(base_lp) + (k2(lp) - k2(base_lp));
    }
  }

  int clip_of(double a, double x) const {
    const PolicyOptions& o = p.options;
    const double low = real(o.epsilon_low), high = real(o.epsilon_high);
    switch (o.objective) {
      case Objective::clip: return a < 0 && x < 1 - low ? -1 : a > 0 && x > 1 + high;
      case Objective::gmpo: return a < 0 && x < -low ? -1 : a > 0 && x > high;
      case Objective::cispo:
        if (o.cispo_bounds == CispoBounds::both)
          return a < 0 && x < 1 - low ? -1 : a > 0 && x > 1 + high;
        return a > 0 && x > high;
      default: return 0;
    }
  }
};

}  // namespace logsum::test
