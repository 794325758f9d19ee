// SPDX-License-Identifier: Apache-2.0
// preference_loss at the ends: margins whose exponentials leave f64, sequences of probability 1 and
// 0, averages of one token, pairs of which one sequence is empty.
#include <gtest/gtest.h>

#include "core/preference_terms.hpp"
#include "support/preference_text.hpp"

namespace logsum::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

PreferenceTerms of_sums(const PreferenceOptions& o, double chosen, double rejected) {
  return pair_terms(o, {chosen, 0, 1}, {rejected, 0, 1});
}

// beta·d = ±800 and far more: tails are straight lines, exactly; nothing is NaN.
TEST(PreferenceLossExtremes, TailsAreStraightLines) {
  PreferenceOptions o{.beta = 1};
  for (const double size : {800.0, 1e4, 1e30, 1e300}) {
    const PreferenceTerms right = of_sums(o, 0, -size), wrong = of_sums(o, -size, 0);
    EXPECT_EQ(right.loss, 0);
    EXPECT_EQ(right.chosen, 0);
    EXPECT_EQ(wrong.loss, size);
    EXPECT_EQ(wrong.chosen, -1);
    EXPECT_EQ(wrong.rejected, 1);
    EXPECT_TRUE(right.is_right && !wrong.is_right);
  }
  o.label_smoothing = 0.25f;
  EXPECT_EQ(of_sums(o, 0, -800).loss, 200);
  EXPECT_EQ(of_sums(o, 0, -800).chosen, 0.25);
  EXPECT_EQ(of_sums(o, -800, 0).loss, 600);
  EXPECT_EQ(of_sums(o, -800, 0).chosen, -0.75);
  // What is left of the loss below f64's precision of 1.
  o.label_smoothing = 0;
  EXPECT_NEAR(of_sums(o, 0, -100).loss, std::exp(-100), 1e-14 * std::exp(-100));
  EXPECT_NEAR(of_sums(o, 0, -100).chosen, -std::exp(-100), 1e-14 * std::exp(-100));

  PreferenceOptions kto{.loss = PreferenceLoss::kto, .beta = 1};
  for (const bool desirable : {true, false}) {
    const double sign = desirable ? 1 : -1;
    const PreferenceTerms far = kto_terms(kto, {-800 * sign, 0, 1}, desirable, 0);
    EXPECT_EQ(far.loss, 1);
    EXPECT_EQ(far.chosen, 0);
    const PreferenceTerms good = kto_terms(kto, {100 * sign, 0, 1}, desirable, 0);
    EXPECT_NEAR(good.loss, std::exp(-100), 1e-14 * std::exp(-100));
    EXPECT_NEAR(good.chosen, -sign * std::exp(-100), 1e-14 * std::exp(-100));
  }
}

TEST(PreferenceLossExtremes, HingeBeginsAtItsMargin) {
  const PreferenceOptions o{.loss = PreferenceLoss::hinge, .beta = 0.5f};
  for (const auto& [d, loss, slope] : {std::array{2.0, 0.0, 0.0}, std::array{3.0, 0.0, 0.0},
                                       std::array{1.0, 0.5, -0.5}, std::array{-2.0, 2.0, -0.5}}) {
    const PreferenceTerms terms = of_sums(o, d, 0);
    EXPECT_EQ(terms.loss, loss);
    EXPECT_EQ(terms.chosen, slope);
    EXPECT_EQ(terms.rejected, -slope);
  }
}

// Two sums that are equal differ by 0, −∞ too; a reference of −∞ leaves nothing of one.
TEST(PreferenceLossExtremes, InfiniteSums) {
  const PreferenceOptions o{.beta = 2};
  EXPECT_EQ(of_sums(o, -kInfinity, -kInfinity).loss, of_sums(o, 0, 0).loss);
  EXPECT_EQ(of_sums(o, -kInfinity, -1).loss, kInfinity);
  EXPECT_EQ(of_sums(o, -kInfinity, -1).chosen, -2);
  EXPECT_EQ(of_sums(o, -1, -kInfinity).loss, 0);
  EXPECT_EQ(of_sums(o, -1, -kInfinity).rejected, 0);
  const PreferenceTerms both = pair_terms(o, {-kInfinity, -kInfinity, 1}, {-1, -1, 1});
  EXPECT_EQ(both.loss, of_sums(o, 0, 0).loss);
  const PreferenceOptions flat{.beta = 0};
  EXPECT_EQ(of_sums(flat, -kInfinity, -1).loss, of_sums(flat, 0, 0).loss);
  EXPECT_EQ(of_sums(flat, -kInfinity, -1).chosen, 0);
  for (const double nan : {std::nan(""), kInfinity - kInfinity})
    for (const PreferenceOptions& any : preference_losses()) {
      const PreferenceTerms terms = any.loss == PreferenceLoss::kto
                                        ? kto_terms(any, {nan, 0, 1}, true, 0)
                                        : of_sums(any, -1, nan);
      EXPECT_TRUE(std::isnan(terms.loss) && std::isnan(terms.chosen)) << to_string(any.loss);
      EXPECT_FALSE(terms.is_right);
    }
}

// Against long double where it can tell, and the limits where it can't.
TEST(PreferenceLossExtremes, OddsAtBothEnds) {
  const PreferenceOptions o{.loss = PreferenceLoss::orpo, .beta = 1};
  const auto log_odds = [](long double a) { return a - std::log(-std::expm1(a)); };
  for (const double chosen : {-1e-40, -1e-12, -1e-3, -0.3, -1.0, -20.0, -300.0, -2000.0})
    for (const double rejected : {-1e-40, -1e-12, -1e-3, -0.3, -1.0, -20.0, -300.0, -2000.0}) {
      SCOPED_TRACE(std::to_string(chosen) + " against " + std::to_string(rejected));
      const long double a = chosen, b = rejected, x = log_odds(a) - log_odds(b);
      const long double loss = std::max(-x, 0.0L) + std::log1p(std::exp(-std::fabs(x)));
      const long double share = 1 / (1 + std::exp(x));
      const PreferenceTerms got = of_sums(o, chosen, rejected);
      const auto near = [](double value, long double truth, long double slack) {
        EXPECT_NEAR(value, static_cast<double>(truth), static_cast<double>(slack));
      };
      // x itself is known to 1e-15 of its terms.
      const long double noise = 4e-15L * (1 + std::fabs(log_odds(a)) + std::fabs(log_odds(b)));
      near(got.loss, loss, 1e-14L * loss + noise * share);
      near(got.chosen, -share / -std::expm1(a), 1e-13L * share / -std::expm1(a) + 1e-320L);
      near(got.rejected, share / -std::expm1(b), 1e-13L * share / -std::expm1(b) + 1e-320L);
    }
  // p = 1 of the chosen: no loss; p/(1 − p) of the rejected is what σ(−x)/(1 − p) tends to.
  const PreferenceTerms sure = of_sums(o, 0, -1);
  EXPECT_EQ(sure.loss, 0);
  EXPECT_NEAR(sure.chosen, -std::exp(-1) / -std::expm1(-1), 1e-15);
  EXPECT_EQ(sure.rejected, 0);
  const PreferenceTerms lost = of_sums(o, -1, 0);
  EXPECT_EQ(lost.loss, kInfinity);
  EXPECT_NEAR(lost.chosen, -1 / -std::expm1(-1), 1e-15);
  EXPECT_EQ(lost.rejected, kInfinity);
  const PreferenceTerms never = of_sums(o, -kInfinity, -1);
  EXPECT_EQ(never.loss, kInfinity);
  EXPECT_EQ(never.chosen, -1);
  EXPECT_NEAR(never.rejected, 1 / -std::expm1(-1), 1e-15);
  EXPECT_EQ(of_sums(o, -1, -kInfinity).loss, 0);
  EXPECT_NEAR(of_sums(o, -kInfinity, -kInfinity).loss, std::log(2), 1e-15);
  EXPECT_NEAR(of_sums(o, 0, 0).loss, std::log(2), 1e-15);
}

// Calls: one token per sequence with these logits, the first of which is the target.
Preference of_rows(const PreferenceOptions& options,
                   const std::vector<std::vector<float>>& logits) {
  Preference p;
  p.sequences = std::int64_t(logits.size());
  p.columns = std::int64_t(logits[0].size());
  p.options = options;
  p.logits = logits;
  p.targets.assign(logits.size(), 0);
  return p;
}

// A target of probability 0: its gradient is finite, its loss isn't.
TEST(PreferenceLossExtremes, ImpossibleTargets) {
  for (const Context& context : all_contexts()) {
    Preference p = of_rows({.reference_free = true, .beta = 0.5f},
                           {{-kInf, 0, 0}, {1, 2, 3}, {0, 1, 0}, {1, 2, 3}});
    PreferenceCall got(p);
    got.run(context);
    EXPECT_EQ(got.loss, kInfinity);
    EXPECT_EQ(got.pair_loss[0], kInf);
    EXPECT_EQ(got.sums[0], -kInf);
    EXPECT_EQ(got.rewards[0], -kInf);
    EXPECT_TRUE(got.status_of(0) == RowStatus::overflow && got.status_of(2) == RowStatus::overflow);
    EXPECT_TRUE(got.status_of(1) == RowStatus::ok && got.status_of(3) == RowStatus::ok);
    for (const auto& [column, wanted] : {std::pair{0, -0.25f}, {1, 0.125f}, {2, 0.125f}})
      EXPECT_NEAR(got.grad.get(0, column), wanted, 1e-6f) << name_of(context);
    EXPECT_EQ(got.metric(PreferenceMetric::pair_count), 2);
    EXPECT_EQ(got.metric(PreferenceMetric::bad_count), 1);
    EXPECT_EQ(got.metric(PreferenceMetric::reward_margin), 0);
    EXPECT_NEAR(got.metric(PreferenceMetric::nll), -double(got.logps[1]), 1e-6);
    EXPECT_NEAR(got.metric(PreferenceMetric::chosen_reward), double(got.logps[1]) / 2, 1e-6);
  }
}

// One-hot rows: the gradient is that of logits which can't become surer.
TEST(PreferenceLossExtremes, SureTargets) {
  for (const Context& context : all_contexts()) {
    PreferenceOptions o{.beta = 0.5f};
    must(set_preference_loss_type(o, "orpo"));
    o.nll_coef = 0;
    PreferenceCall got(of_rows(o, {{9, -kInf, -kInf}, {1, 2, 3}}));
    got.run(context);
    EXPECT_EQ(got.loss, 0) << name_of(context);
    for (const std::int64_t row : {0, 1})
      for (const float x : got.grad.row(row)) EXPECT_EQ(x, 0);
    PreferenceCall lost(of_rows(o, {{1, 2, 3}, {9, -kInf, -kInf}}));
    lost.run(context);
    EXPECT_EQ(lost.loss, kInfinity);
    EXPECT_EQ(lost.status_of(0), RowStatus::overflow);
    EXPECT_TRUE(lost.gradient_is(1, kNaN));
    for (const float x : lost.grad.row(0)) EXPECT_TRUE(std::isfinite(x) && x != 0);
  }
}

// Large weights: losses beyond f32 and gradients beyond their dtype.
TEST(PreferenceLossExtremes, BeyondF32) {
  const float most = std::numeric_limits<float>::max();
  for (const Context& context : all_contexts()) {
    Preference p = of_rows({.loss = PreferenceLoss::kto, .reference_free = true, .beta = most},
                           {{1, 2, 3}, {3, 2, 1}});
    p.options.desirable_weight = most;
    p.desirable = {1, 0};
    p.kl = 1e-38;
    PreferenceCall got(p);
    got.run(context);
    EXPECT_EQ(got.status_of(0), RowStatus::ok);  // far beyond kl: the slope is 0
    EXPECT_TRUE(got.gradient_is(0, 0.0f)) << name_of(context);
    p.options.beta = 0.1f;
    p.grad_scale = 1e30;
    PreferenceCall large(p);
    large.run(context);
    EXPECT_TRUE(std::isinf(large.grad.get(0, 0)) && large.grad.get(0, 0) < 0);
    EXPECT_EQ(large.status_of(0), RowStatus::ok);
    p.options.loss = PreferenceLoss::ipo;
    p.options.beta = 1e-30f;
    p.kl = 0;
    p.desirable.clear();
    PreferenceCall wide(p);
    wide.run(context);
    EXPECT_EQ(wide.pair_loss[0], kInf);
    EXPECT_TRUE(std::isfinite(wide.loss));
    EXPECT_EQ(wide.status_of(0), RowStatus::overflow);
    EXPECT_EQ(wide.metric(PreferenceMetric::bad_count), 1);
  }
}

}  // namespace
}  // namespace logsum::test
