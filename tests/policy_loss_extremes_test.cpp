// SPDX-License-Identifier: Apache-2.0
// policy_loss at the ends: targets nearly sure or impossible, rows without a distribution, ratios
// on their bounds, values beyond f32, sequences without tokens.
#include <gtest/gtest.h>

#include <span>

#include "support/policy_grid.hpp"

namespace logsum::test {
namespace {

Policy of_rows(const PolicyOptions& options, const std::vector<std::vector<float>>& logits,
               const std::vector<std::int64_t>& targets, const std::vector<float>& advantages) {
  Policy p;
  p.sequences = std::int64_t(logits.size());
  p.columns = logits.empty() ? 5 : std::int64_t(logits[0].size());
  p.options = options;
  p.logits = logits;
  p.targets = targets;
  p.advantages = advantages;
  return p;
}

bool has_sequence(const PolicyOptions& o) {
  return o.ratio_level == RatioLevel::sequence || o.objective == Objective::gmpo;
}

bool is_same_kind(float a, float b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::fabs(a - b) <= tolerance * std::fabs(b) + 1e-7;
}

// One token for each combination of what its inputs may hold.
Policy special_tokens(const PolicyOptions& options) {
  const float kMost = std::numeric_limits<float>::max();
  Policy p = of_rows(options, {{}}, {}, {});
  p.logits.clear();
  const std::vector<float> row = {0.5f, -1, 2, -kInf, 1}, sure = {-kInf, -kInf, 2, -kInf, -kInf};
  for (const auto& [logits, target] : {std::pair{row, 2}, {row, 3}, {sure, 2}})
    for (const float old : {-1.0f, -200.0f, -kInf, kInf, kNaN})
      for (const float ref : {-1.0f, 100.0f, -kInf, kNaN})
        for (const float a : {1.0f, -1.0f, 0.0f, kMost, kNaN})
          for (const float w : {1.0f, 0.0f, -1.0f, kMost, kInf, kNaN}) {
            p.logits.push_back(logits);
            p.targets.push_back(target);
            p.old.push_back(old);
            p.ref.push_back(ref);
            p.advantages.push_back(a);
            p.weights.push_back(w);
          }
  p.sequences = std::int64_t(p.rows());
  p.columns = 5;
  p.normalizer = 1;
  return p;
}

// What a SIMD target computes is the row's log-prob: one of them is enough.
std::vector<Context> one_of_each_backend() {
  std::vector<Context> contexts = {fast_contexts()[0]};
  for (const Context& context : contract_contexts())
    if (context.backend != Backend::cpu) contexts.push_back(context);
  return contexts;
}

TEST(PolicyLossExtremes, SpecialValuesAreTheReferences) {
  for (const PolicyOptions& objective : policy_objectives())
    for (int kl = 0; kl < 8; ++kl) {
      PolicyOptions o = objective;
      o.beta = 0.25f;
      o.kl_estimator = static_cast<KlEstimator>(kl / 2);
      o.use_bias_correction_kl = kl % 2;
      const Policy p = special_tokens(o);
      PolicyCall truth(p);
      truth.run(kReference);
      for (const Context& context : one_of_each_backend()) {
        PolicyCall got(p);
        got.run(context);
        for (std::size_t i = 0; i < p.rows(); ++i) {
          // A sequence's ratio times k3 of 1e43: nothing is left of what else is in the sum.
          if (p.ref[i] == 100 && kl == 5 && has_sequence(o)) continue;
          // 0 times NaN, or a weight of 0 for it: the gradient may be either's.
          const bool may_be_lost = p.targets[i] == 3 || o.objective == Objective::gmpo;
          if (may_be_lost && std::isnan(p.advantages[i])) continue;
          const bool has_gradient = !(std::isnan(p.advantages[i]) && p.old[i] == kInf);
          ASSERT_TRUE(got.status[i] == truth.status[i] &&
                      is_same_kind(got.token_loss[i], truth.token_loss[i], 1e-5) &&
                      is_same_kind(got.kl[i], truth.kl[i], 1e-5) &&
                      (!has_gradient || (is_same_kind(got.grad.get(std::int64_t(i), 2),
                                                      truth.grad.get(std::int64_t(i), 2), 1e-4) &&
                                         is_same_kind(got.grad.get(std::int64_t(i), 3),
                                                      truth.grad.get(std::int64_t(i), 3), 1e-4))))
              << name_of(context) << " objective " << int(o.objective) << " kl " << kl << ": logp "
              << got.logps[i] << " old " << p.old[i] << " ref " << p.ref[i] << " A "
              << p.advantages[i] << " w " << p.weights[i] << ": loss " << got.token_loss[i]
              << " for " << truth.token_loss[i] << ", gradient " << got.grad.get(std::int64_t(i), 2)
              << " for " << truth.grad.get(std::int64_t(i), 2);
        }
      }
    }
}

// By hand, where the reference could be wrong with the others.
TEST(PolicyLossExtremes, ImpossibleTokens) {
  struct Case {
    float old, advantage, loss, at_target, at_other;
    RowStatus status = RowStatus::ok;
  };
  // The target's logit is −∞: p is 0 there and 1/2 at the other two. Or 0: p is 1/3.
  const Case impossible[] = {{-kInf, 2, -2, -2, 1},
                             {-kInf, -2, 2, 2, -1},
                             {-1, 2, 0, 0, 0},  // the ratio is 0, and so its slope
                             {-1, -2, 1.6f, 0, 0}};
  const Case possible[] = {{-kInf, 2, -2.4f, 0, 0},  // the ratio is +∞
                           {-kInf, -2, kInf, kNaN, kNaN, RowStatus::overflow}};
  for (const Context& context : all_contexts())
    for (const bool is_possible : {false, true})
      for (const Case& c :
           is_possible ? std::span<const Case>(possible) : std::span<const Case>(impossible)) {
        Policy p = of_rows({}, {{0, is_possible ? 0 : -kInf, 0}}, {1}, {c.advantage});
        p.old = {c.old};
        PolicyCall got(p);
        got.run(context);
        SCOPED_TRACE(name_of(context) + ", old " + std::to_string(c.old) + " A " +
                     std::to_string(c.advantage));
        EXPECT_EQ(got.status_of(0), c.status);
        EXPECT_TRUE(is_same_kind(got.token_loss[0], c.loss, 1e-6)) << got.token_loss[0];
        EXPECT_TRUE(is_same_kind(got.grad.get(0, 1), c.at_target, 1e-5)) << got.grad.get(0, 1);
        EXPECT_TRUE(is_same_kind(got.grad.get(0, 0), c.at_other, 1e-5)) << got.grad.get(0, 0);
      }
}

// 1 − p_y as p_y nears 1, wherever the target is; e^−200 is seen through a scale.
TEST(PolicyLossExtremes, LikelyTargetsKeepTheirGradientsAccuracy) {
  for (const std::int64_t columns : {2, 300, 5000, 12289})
    for (const float gap : {1.0f, 5.0f, 16.0f, 17.5f, 30.0f, 45.0f, 60.0f, 75.0f, 100.0f, 200.0f})
      for (const std::int64_t target : {std::int64_t{0}, columns / 2, columns - 1}) {
        std::vector<float> z = gaussian(columns, 5, 0.5f, -gap);
        z[std::size_t(target)] = 3;
        for (std::size_t i = 0; i < z.size(); ++i) z[i] += 3;
        Policy p = of_rows({.objective = Objective::reinforce}, {z}, {target}, {1});
        p.grad_scale = gap > 60 ? 0x1p200 : 1;
        long double others = 0;
        for (std::size_t j = 0; j < z.size(); ++j)
          if (std::int64_t(j) != target)
            others += std::exp(static_cast<long double>(z[j]) - z[std::size_t(target)]);
        for (const Context& context : all_contexts()) {
          PolicyCall got(p);
          got.run(context);
          SCOPED_TRACE(name_of(context) + " V=" + std::to_string(columns) + " gap " +
                       std::to_string(gap) + " target " + std::to_string(target));
          const double rest = p.grad_scale * double(others / (1 + others));
          ASSERT_NEAR(got.grad.get(0, target), -rest, 4e-6 * rest);
          double sum = 0;
          for (std::int64_t j = 0; j < columns; ++j) sum += double(got.grad.get(0, j));
          ASSERT_NEAR(sum, 0, 1e-5 * rest);
        }
      }
}

TEST(PolicyLossExtremes, AOneHotRowHasNoGradient) {
  for (const PolicyOptions& options : policy_objectives())
    for (const std::int64_t columns : {1, 2, 5000})
      for (const Context& context : all_contexts()) {
        std::vector<float> z(std::size_t(columns), -kInf);
        z.back() = -3.5f;
        Policy p = of_rows(options, {z}, {columns - 1}, {-1});
        p.options.entropy_coef = 0.5f;
        PolicyCall got(p);
        got.run(context);
        EXPECT_EQ(got.logps[0], 0);
        EXPECT_EQ(got.entropy[0], 0);
        for (const float x : got.grad.row(0)) ASSERT_EQ(x, 0) << name_of(context);
      }
}

// Ratios a step of 2^-27 from 1, which f64 has exactly: on a bound of 2^-27 they pass, beyond a
// bound of 2^-28 they don't.
TEST(PolicyLossExtremes, ABoundItselfPasses) {
  constexpr float kOn = 0x1p-27f, kBelow = 0x1p-28f;
  for (const Context& context : all_contexts())
    for (const float sign : {1.0f, -1.0f}) {
      const auto gradient = [&](PolicyOptions o, float way, PolicyMetric metric) {
        Policy p = of_rows(o, {{2.3f, 0}}, {0}, {sign});
        if (o.beta != 0) p.ref = {0};
        PolicyCall first(p);
        first.run(context);
        const float logp = first.logps[0];
        EXPECT_LT(logp, -0x1p-4f);
        EXPECT_GT(logp, -0x1p-3f);
        p.old = {logp - way * 0x1p-27f};
        if (o.beta != 0) p.ref = {logp + way * 0x1p-27f};
        PolicyCall got(p);
        got.run(context);
        if (context.backend != Backend::reference && !has_sequence(o)) {
          EXPECT_EQ(got.metric(PolicyMetric::ratio_max), 1 + double(way) * 0x1p-27);
        }
        EXPECT_EQ(got.metric(metric), got.grad.get(0, 0) == 0 && o.beta == 0 ? 1.0 : 0.0);
        return got.grad.get(0, 0);
      };
      const auto side = sign > 0 ? PolicyMetric::clip_high : PolicyMetric::clip_low;
      SCOPED_TRACE(name_of(context) + ", A " + std::to_string(sign));
      for (const auto level : {RatioLevel::token, RatioLevel::sequence})
        for (const Objective objective : {Objective::clip, Objective::gmpo}) {
          if (objective == Objective::gmpo && level == RatioLevel::sequence) continue;
          PolicyOptions o{.objective = objective, .ratio_level = level};
          // The reference's ratio is of its log-prob in f64: within 2^-27 of the bound only.
          o.epsilon_low = o.epsilon_high = kOn;
          if (context.backend != Backend::reference) {
            EXPECT_NE(gradient(o, sign, side), 0);
            o.epsilon_low = o.epsilon_high = kBelow;
            EXPECT_EQ(gradient(o, sign, side), 0);
          }
          o.epsilon_low = o.epsilon_high = 0;
          EXPECT_NE(gradient(o, -sign, side), 0);  // the other bound is the other sign's
        }
      if (context.backend == Backend::reference) continue;
      const auto none = PolicyMetric::bad_count;
      EXPECT_NE(gradient({.log_ratio_clamp = kOn}, sign, none), 0);
      PolicyOptions kl{.objective = Objective::cispo, .epsilon_high = 0, .beta = 1};
      kl.kl_input_clamp = kOn;
      EXPECT_NE(gradient(kl, sign, none), 0);
      kl.kl_input_clamp = kBelow;
      EXPECT_EQ(gradient(kl, sign, none), 0);
    }
}

// e^100 is 2.7e43: the loss is right in f64 though no f32 holds it.
TEST(PolicyLossExtremes, BeyondF32) {
  for (const Context& context : all_contexts()) {
    SCOPED_TRACE(name_of(context));
    Policy p = of_rows({.beta = 0.5f}, {{0, 0}, {0, 0}}, {0, 1}, {1, 1});
    p.ref = {100 - std::log(2.0f), -std::log(2.0f)};
    PolicyCall got(p);
    got.run(context);
    EXPECT_NEAR(got.loss, 0.25 * std::exp(100.0), 1e-5 * std::exp(100.0));
    EXPECT_EQ(got.status_of(0), RowStatus::overflow);
    EXPECT_EQ(got.status_of(1), RowStatus::ok);
    EXPECT_EQ(got.token_loss[0], kInf);
    EXPECT_EQ(got.kl[0], kInf);
    EXPECT_NEAR(got.token_loss[1], -1, 1e-6);
    EXPECT_EQ(got.grad.get(0, 0), -kInf);
    EXPECT_EQ(got.grad.get(0, 1), kInf);
    EXPECT_NEAR(got.grad.get(1, 1), -0.25, 1e-6);
    EXPECT_EQ(got.metric(PolicyMetric::token_count), 2);
    EXPECT_EQ(got.metric(PolicyMetric::bad_count), 1);
    EXPECT_NEAR(got.metric(PolicyMetric::kl), 0, 1e-6);
    p.grad_scale = 1e-30;
    PolicyCall scaled(p);
    scaled.run(context);
    const double truth = 0.125 * 1e-30 * std::exp(100.0);
    EXPECT_NEAR(scaled.grad.get(0, 0), -truth, 1e-5 * truth);
    EXPECT_NEAR(scaled.grad.get(0, 1), truth, 1e-5 * truth);
    // g of an advantage and a weight; beyond f64 with an exponential.
    p = of_rows({.objective = Objective::reinforce}, {{0, 0}}, {0}, {1e38f});
    p.weights = {1e30f};
    p.grad_scale = 1e-60;
    PolicyCall large(p);
    large.run(context);
    EXPECT_EQ(large.status_of(0), RowStatus::overflow);
    EXPECT_NEAR(large.grad.get(0, 0), -0.5e8, 1e3);
    p.options = {};
    p.advantages = {-1e38f};
    p.old = {-700};
    PolicyCall beyond(p);
    beyond.run(context);
    EXPECT_TRUE(beyond.gradient_is(0, kNaN));
  }
}

TEST(PolicyLossExtremes, HugeLogitsAndAnyTemperature) {
  for (const float t : {1e-6f, 1e-3f, 1.0f, 1e3f, 1e6f}) {
    const auto values = healthy_values(300, DType::f32);
    std::vector<std::int64_t> targets;
    for (std::size_t i = 0; i < values.size(); ++i)
      targets.push_back(std::max_element(values[i].begin(), values[i].end()) - values[i].begin());
    targets[0] = 0;
    Policy p = of_rows({.objective = Objective::reinforce, .entropy_coef = 0.1f}, values, targets,
                       std::vector<float>(values.size(), 1.0f));
    p.temperature = t;
    PolicyCall truth(p);
    truth.run(kReference);
    for (const Context& context : contract_contexts()) {
      PolicyCall got(p);
      got.run(context);
      for (std::size_t i = 0; i < p.rows(); ++i) {
        ASSERT_EQ(got.status[i], truth.status[i]) << i;
        for (std::int64_t j = 0; j < 300; ++j) {
          const double wanted = double(truth.grad.get(std::int64_t(i), j));
          ASSERT_NEAR(got.grad.get(std::int64_t(i), j), wanted,
                      2e-5 * std::fabs(wanted) + 1e-7 / double(t))
              << name_of(context) << " T=" << t << " " << healthy_rows()[i].name << " column " << j;
        }
      }
    }
  }
}

// Two equal logits whose powers of 2 are beyond what f32 counts: half each, whatever else.
TEST(PolicyLossExtremes, TiesFarFromZero) {
  for (const Context& context : all_contexts())
    for (float top = 3; top < 1e38f; top *= 7.3f)
      for (const float sign : {1.0f, -1.0f}) {
        const float z = sign * top;
        Policy p = of_rows({.objective = Objective::reinforce, .entropy_coef = 0.5f},
                           {{z - 0.1f * top, z, -kInf, z, z - top}}, {1}, {1});
        p.temperature = 1e-6f;
        p.grad_scale = 1e-6;
        PolicyCall got(p);
        got.run(context);
        SCOPED_TRACE(name_of(context) + ", " + std::to_string(z));
        EXPECT_NEAR(got.entropy[0], std::log(2.0), 1e-6);
        const float wanted[] = {0, -0.5f, 0, 0.5f, 0};
        for (std::int64_t j = 0; j < 5; ++j)
          ASSERT_NEAR(got.grad.get(0, j), wanted[j], 2e-6) << "column " << j;
      }
}

// The others are nothing beside it.
TEST(PolicyLossExtremes, AnInfiniteRatioIsASampleOfOne) {
  for (const Context& context : all_contexts()) {
    Policy p = policy_batch({}, 1, 3, 50, 1);
    p.advantages = {1};
    p.old[1] = -kInf;
    PolicyCall got(p);
    got.run(context);
    EXPECT_EQ(got.metric(PolicyMetric::ratio_max), HUGE_VAL) << name_of(context);
    EXPECT_EQ(got.metric(PolicyMetric::effective_sample_size), 1) << name_of(context);
  }
}

}  // namespace
}  // namespace logsum::test
