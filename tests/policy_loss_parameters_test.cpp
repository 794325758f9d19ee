// SPDX-License-Identifier: Apache-2.0
// Each option and argument of policy_loss changes the answer, to what the text says; defaults, loss
// types and the libraries to agree with.
#include <gtest/gtest.h>

#include "support/policy_grid.hpp"

namespace logsum::test {
namespace {

const Context kContexts[] = {{}, kReference};

// One change to a batch that it shows in.
struct Change {
  const char* name;
  std::function<void(Policy&)> prepare, change;
  bool only_gradient = false;
};

// With a ratio between each two bounds that the changes below have, for each sign of A.
Policy base_batch() {
  Policy p = policy_batch({}, 4, 6, 60, 12);
  std::vector<double> logps, h;
  text_of_rows(p, logps, h);
  constexpr float kLogRatios[] = {0.05f, 0.22f, 0.4f, -0.15f, -0.4f, 0.1f};
  for (std::size_t i = 0; i < p.rows(); ++i) p.old[i] = float(logps[i]) - kLogRatios[i % 6];
  p.mask.assign(p.rows(), 1);
  p.mask[4] = p.mask[5] = p.mask[10] = 0;
  for (std::size_t i = 18; i < 24; ++i) p.mask[i] = 0;  // no token of the last sequence counts
  return p;
}

template <auto field, class T>
std::function<void(Policy&)> option(T value) {
  return [=](Policy& p) { p.options.*field = value; };
}
std::function<void(Policy&)> objective(Objective value) {
  return option<&PolicyOptions::objective>(value);
}
void with_kl(Policy& p) { p.options.beta = 0.5f; }
void with_sampling(Policy& p) {
  for (const float x : p.old) p.sampling.push_back(x + 0.02f * float(p.sampling.size() % 5));
  p.options.off_policy_threshold = -0.2f;
}

std::vector<Change> changes() {
  using O = PolicyOptions;
  const auto nothing = [](Policy&) {};
  return {
      {"objective", nothing, objective(Objective::sapo)},
      {"ratio_level", nothing, option<&O::ratio_level>(RatioLevel::sequence)},
      {"aggregation", nothing, option<&O::aggregation>(Aggregation::constant)},
      {"epsilon_low", nothing, option<&O::epsilon_low>(0.1f)},
      {"epsilon_high", nothing, option<&O::epsilon_high>(0.3f)},
      {"delta", nothing, option<&O::delta>(1.3f)},
      {"dual_clip", nothing, option<&O::dual_clip>(1.1f)},
      {"cispo_bounds", objective(Objective::cispo), option<&O::cispo_bounds>(CispoBounds::both)},
      {"sapo_tau_pos", objective(Objective::sapo), option<&O::sapo_tau_pos>(2.0f)},
      {"sapo_tau_neg", objective(Objective::sapo), option<&O::sapo_tau_neg>(2.0f)},
      {"vespo_k_pos", objective(Objective::vespo), option<&O::vespo_k_pos>(1.0f)},
      {"vespo_lambda_pos", objective(Objective::vespo), option<&O::vespo_lambda_pos>(1.0f)},
      {"vespo_k_neg", objective(Objective::vespo), option<&O::vespo_k_neg>(1.0f)},
      {"vespo_lambda_neg", objective(Objective::vespo), option<&O::vespo_lambda_neg>(1.0f)},
      {"log_ratio_clamp", nothing, option<&O::log_ratio_clamp>(0.05f)},
      {"beta", nothing, with_kl},
      {"kl_estimator", with_kl, option<&O::kl_estimator>(KlEstimator::k2)},
      {"kl_estimator", with_kl, option<&O::kl_estimator>(KlEstimator::k1)},
      {"kl_estimator", with_kl, option<&O::kl_estimator>(KlEstimator::k3_plus), true},
      {"use_bias_correction_kl", with_kl, option<&O::use_bias_correction_kl>(true)},
      {"kl_input_clamp", with_kl, option<&O::kl_input_clamp>(0.2f)},
      {"kl_output_clamp", with_kl, option<&O::kl_output_clamp>(0.05f)},
      {"entropy_coef", nothing, option<&O::entropy_coef>(0.1f)},
      {"off_policy_threshold", with_sampling, option<&O::off_policy_threshold>(O::kNone)},
      {"count_empty_sequences", option<&O::aggregation>(Aggregation::sequence_mean),
       option<&O::count_empty_sequences>(false)},
      {"targets", nothing, [](Policy& p) { p.targets[0] = (p.targets[0] + 1) % 60; }},
      {"advantages", nothing, [](Policy& p) { p.advantages[0] += 1; }},
      {"advantages of tokens", nothing,
       [](Policy& p) {
         p.advantages.assign(p.rows(), 1.0f);
         p.advantages[2] = -0.5f;
       }},
      {"completion_mask", nothing, [](Policy& p) { p.mask[1] = 0; }},
      {"cu_seqlens", option<&O::ratio_level>(RatioLevel::sequence),
       [](Policy& p) {
         p.offsets = {0, 5, 14, 18, 24};
       }},
      {"old_per_token_logps", nothing, [](Policy& p) { p.old[0] += 0.02f; }},
      {"old_per_token_logps, absent", nothing, [](Policy& p) { p.old.clear(); }},
      {"ref_per_token_logps", with_kl, [](Policy& p) { p.ref[0] += 1; }},
      {"sampling_per_token_logps", with_sampling,
       [](Policy& p) {
         for (float& x : p.sampling) x -= 5;
       }},
      {"importance_weights", nothing,
       [](Policy& p) {
         p.weights = {0.5f, 1, 1, 1};
       }},
      {"importance_weights of tokens", nothing,
       [](Policy& p) {
         p.weights.assign(p.rows(), 1.0f);
         p.weights[7] = 0;
       }},
      {"entropy_mask", nothing,
       [](Policy& p) {
         p.entropy_mask.assign(p.rows(), 1);
         p.entropy_mask[6] = 0;
       }},
      {"temperature", nothing, [](Policy& p) { p.temperature = 0.9f; }},
      {"temperature of tokens", nothing,
       [](Policy& p) {
         p.temperatures.assign(p.rows(), 1.0f);
         p.temperatures[1] = 0.8f;
       }},
      {"normalizer", nothing, [](Policy& p) { p.normalizer = 5; }},
      {"entropy_normalizer", option<&O::entropy_coef>(0.1f),
       [](Policy& p) { p.entropy_normalizer = 5; }},
      {"grad_scale", nothing, [](Policy& p) { p.grad_scale = 2; }, true},
      {"ignore_index", nothing, [](Policy& p) { p.ignore_index = p.targets[0]; }},
      {"vocab_size", [](Policy& p) { std::fill(p.targets.begin(), p.targets.end(), 3); },
       [](Policy& p) { p.vocab_size = 40; }},
  };
}

TEST(PolicyLossParameters, EachChangesTheAnswer) {
  for (const Context& context : kContexts)
    for (const Change& c : changes()) {
      SCOPED_TRACE(std::string(c.name) + ", " + name_of(context));
      Policy before = base_batch();
      c.prepare(before);
      Policy after = before;
      c.change(after);
      PolicyCall was(before), is(after);
      was.run(context);
      is.run(context);
      for (const PolicyCall* call : {&was, &is}) {
        std::vector<double> logps, h;
        text_of_rows(call->p, logps, h);
        const PolicyText::Result text = PolicyText{call->p, logps}.at(logps, h);
        EXPECT_NEAR(call->loss, text.loss, 2e-6 * (1 + text.size));
      }
      EXPECT_EQ(std::fabs(was.loss - is.loss) > 1e-5, !c.only_gradient) << was.loss;
      double most = 0;
      for (std::size_t i = 0; i < was.p.rows(); ++i)
        for (std::int64_t j = 0; j < 60; ++j)
          most = std::max(most, std::fabs(double(was.grad.get(std::int64_t(i), j)) -
                                          double(is.grad.get(std::int64_t(i), j))));
      EXPECT_GT(most, 1e-5);
    }
}

TEST(PolicyLossParameters, DefaultsAreTrls) {
  const PolicyOptions o;
  EXPECT_EQ(o.objective, Objective::clip);
  EXPECT_EQ(o.ratio_level, RatioLevel::token);
  EXPECT_EQ(o.aggregation, Aggregation::token_mean);  // "dapo"
  EXPECT_EQ(o.kl_estimator, KlEstimator::k3);
  EXPECT_EQ(o.cispo_bounds, CispoBounds::upper);
  EXPECT_TRUE(o.epsilon_low == 0.2f && o.epsilon_high == 0.2f && o.beta == 0);
  EXPECT_TRUE(o.sapo_tau_pos == 1.0f && o.sapo_tau_neg == 1.05f);
  EXPECT_TRUE(o.vespo_k_pos == 2 && o.vespo_lambda_pos == 3);
  EXPECT_TRUE(o.vespo_k_neg == 3 && o.vespo_lambda_neg == 2);
  EXPECT_TRUE(!o.use_bias_correction_kl && o.entropy_coef == 0 && o.count_empty_sequences);
  for (const float none : {o.delta, o.dual_clip, o.log_ratio_clamp, o.kl_input_clamp,
                           o.kl_output_clamp, o.off_policy_threshold})
    EXPECT_EQ(none, PolicyOptions::kNone);
  const PolicyLossArgs args;
  EXPECT_TRUE(args.temperature.value == 1 && args.grad_scale.value == 1);
  EXPECT_TRUE(args.normalizer.value == 0 && args.entropy_normalizer.value == 0);
  EXPECT_TRUE(args.ignore_index == -100 && args.vocab_size == 0);
}

// Options as all that they are made of.
std::vector<float> numbers_of(const PolicyOptions& o) {
  return {float(o.objective),
          float(o.ratio_level),
          float(o.aggregation),
          o.epsilon_low,
          o.epsilon_high,
          o.delta,
          o.dual_clip,
          float(o.cispo_bounds),
          o.sapo_tau_pos,
          o.sapo_tau_neg,
          o.vespo_k_pos,
          o.vespo_lambda_pos,
          o.vespo_k_neg,
          o.vespo_lambda_neg,
          o.log_ratio_clamp,
          o.beta,
          float(o.kl_estimator),
          float(o.use_bias_correction_kl),
          o.kl_input_clamp,
          o.kl_output_clamp,
          o.entropy_coef,
          o.off_policy_threshold,
          float(o.count_empty_sequences)};
}

TEST(PolicyLossParameters, LossTypes) {
  struct Type {
    const char* name;
    Objective objective;
    RatioLevel level;
    Aggregation aggregation;
  };
  constexpr auto kToken = RatioLevel::token, kSequence = RatioLevel::sequence;
  const Type types[] = {
      {"grpo", Objective::clip, kToken, Aggregation::sequence_mean},
      {"bnpo", Objective::clip, kToken, Aggregation::token_mean},
      {"dr_grpo", Objective::clip, kToken, Aggregation::constant},
      {"dapo", Objective::clip, kToken, Aggregation::token_mean},
      {"cispo", Objective::cispo, kToken, Aggregation::token_mean},
      {"sapo", Objective::sapo, kToken, Aggregation::sequence_mean},
      {"vespo", Objective::vespo, kToken, Aggregation::token_mean},
      {"luspo", Objective::clip, kSequence, Aggregation::sequence_sum_mean},
      {"gspo", Objective::clip, kSequence, Aggregation::sequence_mean},
      {"gmpo", Objective::gmpo, kToken, Aggregation::sequence_mean},
      {"reinforce", Objective::reinforce, kToken, Aggregation::token_mean},
  };
  for (const Type& type : types)
    for (const bool was_other : {false, true}) {
      PolicyOptions o{.epsilon_low = 0.3f, .beta = 0.1f};
      if (was_other) {
        o.objective = Objective::cispo;
        o.ratio_level = kSequence;
        o.aggregation = Aggregation::constant;
      }
      PolicyOptions wanted = o;
      wanted.objective = type.objective;
      wanted.ratio_level = type.level;
      wanted.aggregation = type.aggregation;
      ASSERT_TRUE(set_loss_type(o, type.name).ok());
      EXPECT_EQ(numbers_of(o), numbers_of(wanted)) << type.name;
      PolicyCall call(policy_batch(o, 2, 2, 10, 1));
      call.run();  // and it is legal
    }
  for (const char* unknown : {"", "GRPO", "grpo ", "dppo", static_cast<const char*>(nullptr)}) {
    PolicyOptions o{.objective = Objective::sapo};
    const PolicyOptions before = o;
    const Status status = set_loss_type(o, unknown);
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(std::string(status.message()),
              "set_loss_type: loss_type is " + std::string(unknown ? unknown : "null") +
                  ", must be grpo, bnpo, dr_grpo, dapo, cispo, sapo, vespo, luspo, gspo, gmpo or "
                  "reinforce");
    EXPECT_EQ(numbers_of(o), numbers_of(before));
  }
}

TEST(PolicyLossParameters, Compat) {
  PolicyOptions o{.objective = Objective::cispo, .epsilon_high = 0.28f, .beta = 0.1f};
  const PolicyOptions own = o;
  ASSERT_TRUE(set_compat(o, Compat::verl).ok());
  PolicyOptions verl = own;
  verl.cispo_bounds = CispoBounds::both;
  verl.dual_clip = 3;
  verl.log_ratio_clamp = 20;
  verl.kl_input_clamp = 20;
  verl.kl_output_clamp = 10;
  verl.count_empty_sequences = false;
  EXPECT_EQ(numbers_of(o), numbers_of(verl));
  for (const Compat compat : {Compat::trl, Compat::liger}) {
    o = verl;
    ASSERT_TRUE(set_compat(o, compat).ok());
    EXPECT_EQ(numbers_of(o), numbers_of(own));
  }
  o = verl;
  const Status status = set_compat(o, static_cast<Compat>(3));
  EXPECT_EQ(std::string(status.message()),
            "set_compat: compat is 3, must be trl (0), liger (1) or verl (2)");
  EXPECT_EQ(numbers_of(o), numbers_of(verl));
}

}  // namespace
}  // namespace logsum::test
