// SPDX-License-Identifier: Apache-2.0
// What the CPU says of a Batch against the reference, within the contract.
//
// A ratio near a bound falls on either side of it by the last bit of a log-prob. So the reference
// is asked twice: for log-probs and entropies, of the logits; for losses and derivatives, of rows
// made up to have the log-probs that the CPU returned. A gradient is then a sum of two that the
// reference gives of the logits: of log-probs alone, and of entropies alone.
#pragma once

#include "fuzz/policy_call.hpp"

namespace logsum::fuzz {

inline Results reference(const Batch& b) {
  return Call(b).run({.executor = &inline_executor(), .backend = Backend::reference});
}

inline double at(const std::vector<float>& values, std::size_t i) {
  return static_cast<double>(values[i]);
}

inline bool is_scored(std::int32_t status) {
  const auto s = static_cast<RowStatus>(status);
  return s == RowStatus::ok || s == RowStatus::overflow;
}

inline constexpr double kMostF32 = std::numeric_limits<float>::max();

inline void expect_near(const char* what, double got, double truth, double slack) {
  if (got == truth || (std::isnan(got) && std::isnan(truth))) return;
  const bool are_beyond = std::fabs(got) > 0.999 * kMostF32 && std::fabs(truth) > 0.999 * kMostF32;
  if (are_beyond && got * truth > 0) return;
  if (!(std::fabs(got - truth) <= slack)) fail(what, got, truth);
}

// A row of three columns, of which the first, the target, has exactly this log-prob (to 1e-15).
struct MadeUpRow {
  float z[3] = {kNan, kNan, kNan};

  MadeUpRow() = default;
  explicit MadeUpRow(float logp) : z{logp, -kInf, -kInf} {
    const auto x = static_cast<double>(logp);
    if (logp == 0) return;
    z[1] = 0;
    if (std::exp(x) == 0) return;
    const double rest = -std::expm1(x);
    z[1] = std::nextafter(static_cast<float>(std::log(rest)), -kInf);
    z[2] = static_cast<float>(std::log(rest - std::exp(static_cast<double>(z[1]))));
  }
};

class Check {
 public:
  Check(const Batch& b, const Results& got)
      : b_(b),
        got_(got),
        rows_(got.status.size()),
        of_logits_(reference(b)),
        made_up_(make_up()),
        terms_(reference(made_up_)) {
    Batch without_kl = made_up_;
    without_kl.options.beta = 0;
    loss_alone_ = reference(without_kl);
    know_units();
  }

  void run() const {
    for (std::size_t i = 0; i < rows_; ++i) check_score(i);
    if (cancels()) return;
    for (std::size_t i = 0; i < rows_; ++i)
      if (b_.counts(i) && is_scored(got_.status[i])) check_terms(i);
    check_totals();
    check_gradients();
  }

 private:
  void set_row(Batch& m, std::size_t i, const MadeUpRow& row) const {
    std::memcpy(&m.logits[i * sizeof row.z], row.z, sizeof row.z);
  }

  // The batch of such rows at temperature 1, NaN where the CPU found no log-prob.
  Batch make_up() const {
    Batch m = plain(b_);
    m.dtype = DType::f32;
    m.columns = 3;
    m.vocab_size = m.padding = m.misalign = 0;
    m.is_backwards = m.has_i32 = false;
    m.temperatures.clear();
    m.temperature = 1;
    m.options.entropy_coef = 0;
    m.ignore_index = -100;
    m.logits.resize(rows_ * sizeof MadeUpRow().z);
    for (std::size_t i = 0; i < rows_; ++i) {
      const bool has_logp = b_.counts(i) && is_scored(got_.status[i]);
      set_row(m, i, has_logp ? MadeUpRow(got_.logps[i]) : MadeUpRow());
      m.targets[i] = b_.counts(i) ? 0 : m.ignore_index;
    }
    return m;
  }

  // With gradients that haven't been rounded or scaled.
  static Batch plain(Batch b) {
    b.in_place = false;
    b.grad = DType::f32;
    b.grad_scale = {1};
    return b;
  }

  // Its loss is of log-probs alone: a token's is -advantage·logp.
  static Batch reinforce(Batch b, float advantage) {
    PolicyOptions options;
    options.objective = Objective::reinforce;
    options.aggregation = b.options.aggregation;
    options.count_empty_sequences = b.options.count_empty_sequences;
    options.entropy_coef = b.options.entropy_coef;
    b.options = options;
    b.advantages.assign(b.targets.size(), advantage);
    for (auto* values : {&b.weights, &b.old, &b.ref, &b.sampling}) values->clear();
    return b;
  }

  // Differences so large that what is left of their sum in a sequence depends on its order; where
  // a sequence has a ratio, its derivative is such a sum of losses.
  bool cancels() const {
    const PolicyOptions& o = b_.options;
    const bool sums_losses =
        o.ratio_level == RatioLevel::sequence || o.objective == Objective::gmpo;
    const bool sums = sums_losses || o.off_policy_threshold < PolicyOptions::kNone;
    for (std::size_t i = 0; sums && i < rows_; ++i) {
      if (sums_losses && b_.counts(i) && std::fabs(at(got_.token_loss, i)) > 1e6) return true;
      for (const auto* values : {&b_.old, &b_.sampling}) {
        const double x = values->empty() ? 0 : std::fabs(at(*values, i) - at(got_.logps, i));
        if (x > 1e6 && std::isfinite(x)) return true;
      }
    }
    return false;
  }

  // The aggregation's weight of each token, and that of an entropy, from rows that are nobody's.
  void know_units() {
    Batch m = reinforce(made_up_, 0);
    m.options.entropy_coef = b_.options.entropy_coef;
    std::int64_t kept = 0;
    for (std::size_t i = 0; i < rows_; ++i) {
      set_row(m, i, MadeUpRow(-std::log(2.0f)));
      kept += b_.counts(i) && b_.keeps_loss(i);
      if (const double size = token_size(i); std::isfinite(size)) most_ = std::max(most_, size);
    }
    const Results of_entropy = reference(m);
    double entropies = 0;
    for (std::size_t i = 0; i < rows_; ++i)
      if (b_.counts(i) && b_.keeps_loss(i)) entropies += at(of_entropy.entropy, i);
    if (kept > 0) per_entropy_ = -of_entropy.loss / entropies;
    m = reinforce(m, -1);
    m.options.entropy_coef = 0;
    m.entropy_mask.clear();
    const Results of_logps = reference(m);
    for (std::size_t i = 0; i < rows_; ++i) units_.push_back(2 * at(of_logps.gradient, 3 * i));
  }

  // The sizes of a loss's parts, which may cancel.
  double token_size(std::size_t i) const {
    const double loss = at(loss_alone_.token_loss, i);
    return std::fabs(loss) + std::fabs(at(terms_.token_loss, i) - loss);
  }

  // dloss/dlogp, from the gradient of a made-up row; NaN where that hasn't kept it.
  double derivative(const Results& r, std::size_t i) const {
    const double rest = -std::expm1(at(got_.logps, i));
    return rest < 1e-30 ? static_cast<double>(kNan) : at(r.gradient, 3 * i) / rest;
  }

  void check_score(std::size_t i) const {
    const std::int32_t truth = of_logits_.status[i];
    if (got_.status[i] != truth && !(is_scored(got_.status[i]) && is_scored(truth)))
      fail("row_status", got_.status[i], truth);
    if (!within(at(got_.logps, i), at(of_logits_.logps, i)))
      fail("per_token_logps", at(got_.logps, i), at(of_logits_.logps, i));
    if (!within(at(got_.entropy, i), at(of_logits_.entropy, i)))
      fail("entropy", at(got_.entropy, i), at(of_logits_.entropy, i));
    if (is_scored(truth) && b_.counts(i)) return;
    expect_near("per_token_loss of a bad row", at(got_.token_loss, i), at(of_logits_.token_loss, i),
                0);
    expect_near("per_token_kl of a bad row", at(got_.kl, i), at(of_logits_.kl, i), 0);
  }

  // Something of the row is so near the largest f32 that its status may be either.
  bool is_near_limit(std::size_t i) const {
    const double g = derivative(terms_, i);
    for (const double x : {at(terms_.token_loss, i), at(terms_.kl, i), g})
      if (std::fabs(x) > 0.99 * kMostF32 && std::fabs(x) < 1.01 * kMostF32) return true;
    return std::isnan(g);
  }

  void check_terms(std::size_t i) const {
    if (got_.status[i] != terms_.status[i] && !is_near_limit(i))
      fail("row_status", got_.status[i], terms_.status[i]);
    const double kl = at(terms_.kl, i);
    const double d = b_.ref.empty() ? 0 : at(b_.ref, i) - at(got_.logps, i);
    expect_near("per_token_kl", at(got_.kl, i), kl,
                1e-6 * std::fabs(kl) + 1e-13 * (1 + std::fabs(d)));
    expect_near("per_token_loss", at(got_.token_loss, i), at(terms_.token_loss, i),
                1e-6 * token_size(i) + 1e-12);
  }

  void check_totals() const {
    double size = 0, kls = 0, truth = terms_.loss;
    int beyond = 0;
    for (std::size_t i = 0; i < rows_; ++i) {
      if (!b_.counts(i)) continue;
      if (static_cast<RowStatus>(got_.status[i]) == RowStatus::ok) kls += std::fabs(at(got_.kl, i));
      const double token = units_[i] * token_size(i);
      if (std::isfinite(token))
        size += token;
      else
        ++beyond;
      if (!b_.keeps_loss(i) || per_entropy_ == 0) continue;
      const double part = per_entropy_ * at(got_.entropy, i);
      size += std::fabs(part);
      truth -= part;
    }
    // The loss itself is f64, a token's is f32: one beyond that is the loss less the others; two
    // may cancel each other, and the rest is lost between them. NaN isn't.
    if (beyond == 1) size = std::fabs(truth) + 2 * size;
    if (beyond < 2 || std::isnan(truth) || std::isnan(got_.loss))
      expect_near("loss", got_.loss, truth, 1e-6 * size + 1e-12);
    if (got_.status != terms_.status) return;  // a row at the limit
    for (int m = 0; m < kPolicyMetrics; ++m) {
      const bool is_of_logits = static_cast<PolicyMetric>(m) == PolicyMetric::entropy;
      const double value = (is_of_logits ? of_logits_ : terms_).metrics[m];
      if (is_of_logits && got_.status != of_logits_.status) continue;
      const bool is_kl = static_cast<PolicyMetric>(m) == PolicyMetric::kl;
      expect_near("metric", got_.metrics[m], value, 2e-6 * (is_kl ? kls : std::fabs(value)) + 1e-6);
    }
  }

  void check_gradients() const {
    Batch m = reinforce(plain(b_), -1);
    m.options.aggregation = Aggregation::constant;
    m.options.entropy_coef = 0;
    m.normalizer = {1};
    m.entropy_mask.clear();
    const Results of_logps = reference(m), of_entropies = reference(reinforce(plain(b_), 0));
    for (std::size_t i = 0; i < rows_; ++i) {
      const auto status = static_cast<RowStatus>(got_.status[i]);
      if (b_.counts(i) && status == RowStatus::ok)
        check_gradient(i, of_logps, of_entropies);
      else if (status != RowStatus::overflow)
        check_no_gradient(i, 0);
    }
  }

  // What is 0 or NaN, from a column on.
  void check_no_gradient(std::size_t i, std::int64_t first) const {
    for (auto j = i * columns() + static_cast<std::size_t>(first); j < (i + 1) * columns(); ++j)
      expect_near("gradient of nothing", at(got_.gradient, j), at(of_logits_.gradient, j), 0);
  }

  void check_gradient(std::size_t i, const Results& of_logps, const Results& of_entropies) const {
    check_no_gradient(i, b_.used());
    const double g = derivative(terms_, i), of_loss = derivative(loss_alone_, i);
    const double t =
        b_.temperatures.empty() ? static_cast<double>(b_.temperature) : at(b_.temperatures, i);
    const double scale = b_.grad_scale.value, c = std::fabs(per_entropy_), h = at(got_.entropy, i);
    // Unknown, or beyond f32 before it meets a probability, with the scale or without.
    const bool is_known = std::isfinite(g) && std::isfinite(of_loss) && std::isfinite(units_[i]);
    if (!(is_known && c * std::max(std::fabs(scale), 1.0) / t < 1e37)) return;
    const double g_slack =
        1e-6 * (std::fabs(of_loss) + std::fabs(g - of_loss)) + 1e-12 * most_ * units_[i] + 1e-13;
    // Factors below f32's normal numbers have an absolute accuracy only.
    const double floor = 3e-45 * (1 + std::fabs(g) + c * (105 + h)) / std::min(t, 1.0);
    for (std::int64_t j = 0; j < b_.used(); ++j) {
      const std::size_t place = i * columns() + static_cast<std::size_t>(j);
      const double unit = at(of_logps.gradient, place), part = at(of_entropies.gradient, place);
      const double p_over_t =
          j == b_.targets[i] ? std::exp(at(got_.logps, i)) / t : std::fabs(unit);
      const double truth = scale * (g * unit + part);
      const double size = std::fabs(g * unit) + std::fabs(part) + 2 * c * p_over_t * (1 + h);
      const double slack = std::fabs(scale) * (5e-6 * size + g_slack * std::fabs(unit) + floor) +
                           0x1p-149 * (106 + h);
      const double got = at(got_.gradient, place);
      if (!(got >= rounded(truth - slack) && got <= rounded(truth + slack)))
        fail("gradient", got, truth);
    }
  }

  // To the gradient's dtype.
  double rounded(double x) const {
    const auto wide = static_cast<float>(x);
    switch (b_.grad) {
      case DType::bf16: return static_cast<double>(static_cast<float>(BFloat16(wide)));
      case DType::f16: return static_cast<double>(static_cast<float>(Half(wide)));
      default: return static_cast<double>(wide);
    }
  }

  std::size_t columns() const { return static_cast<std::size_t>(b_.columns); }

  const Batch& b_;
  const Results& got_;
  std::size_t rows_;
  Results of_logits_;
  Batch made_up_;
  Results terms_, loss_alone_;
  std::vector<double> units_;
  double per_entropy_ = 0;
  double most_ = 0;  // the largest of the tokens' losses
};

}  // namespace logsum::fuzz
