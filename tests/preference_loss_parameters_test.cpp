// SPDX-License-Identifier: Apache-2.0
// Each option and argument of preference_loss changes the answer, to what the text says; defaults
// and loss types.
#include <gtest/gtest.h>

#include <functional>

#include "support/preference_text.hpp"

namespace logsum::test {
namespace {

const Context kContexts[] = {{}, kReference};

// One change to a batch that it shows in.
struct Change {
  const char* name;
  PreferenceLoss loss;
  std::function<void(Preference&)> change;
  bool only_gradient = false;
};

Preference base_batch(PreferenceLoss loss) {
  PreferenceOptions options{.loss = loss};
  Preference p = preference_batch(options, 4, 6, 60, 12);
  p.mask.assign(p.rows(), 1);
  p.mask[4] = p.mask[5] = p.mask[10] = p.mask[23] = 0;
  return p;
}

template <auto field, class T>
std::function<void(Preference&)> option(T value) {
  return [=](Preference& p) { p.options.*field = value; };
}

std::vector<Change> changes() {
  using O = PreferenceOptions;
  using L = PreferenceLoss;
  return {
      {"loss", L::sigmoid, option<&O::loss>(L::hinge)},
      {"loss", L::hinge, option<&O::loss>(L::ipo)},
      {"length_average", L::sigmoid, option<&O::length_average>(true)},
      {"length_average", L::hinge, option<&O::length_average>(true)},
      {"length_average", L::ipo, option<&O::length_average>(true)},
      {"length_average", L::simpo, option<&O::length_average>(true)},
      {"length_average", L::orpo, option<&O::length_average>(true)},
      {"length_average", L::kto, option<&O::length_average>(true)},
      {"reference_free", L::sigmoid,
       [](Preference& p) {
         p.options.reference_free = true;
         p.ref_sums.clear();
       }},
      {"beta", L::sigmoid, option<&O::beta>(0.3f)},
      {"beta", L::hinge, option<&O::beta>(0.3f)},
      {"beta", L::ipo, option<&O::beta>(0.3f)},
      {"beta", L::simpo, option<&O::beta>(0.3f)},
      {"beta", L::orpo, option<&O::beta>(0.3f)},
      {"beta", L::kto, option<&O::beta>(0.3f)},
      {"label_smoothing", L::sigmoid, option<&O::label_smoothing>(0.2f)},
      {"label_smoothing", L::simpo, option<&O::label_smoothing>(0.2f)},
      {"gamma", L::simpo, option<&O::gamma>(-1.0f)},
      {"desirable_weight", L::kto, option<&O::desirable_weight>(1.5f)},
      {"undesirable_weight", L::kto, option<&O::undesirable_weight>(1.5f)},
      {"nll_coef", L::sigmoid, option<&O::nll_coef>(0.5f)},
      {"nll_coef", L::kto, option<&O::nll_coef>(0.5f)},
      {"targets", L::sigmoid, [](Preference& p) { p.targets[0] = (p.targets[0] + 1) % 60; }},
      {"completion_mask", L::sigmoid, [](Preference& p) { p.mask[1] = 0; }},
      {"cu_seqlens", L::sigmoid,
       [](Preference& p) {
         p.offsets = {0, 5, 14, 18, 24};
       }},
      {"ref_logps", L::sigmoid, [](Preference& p) { p.ref_sums[3] += 1; }},
      {"ref_per_token_logps", L::kto,
       [](Preference& p) {
         p.ref_sums.clear();
         p.ref_tokens.assign(p.rows(), -3.0f);
       }},
      {"desirable", L::kto, [](Preference& p) { p.desirable[0] = 0; }},
      {"kl", L::kto, [](Preference& p) { p.kl = 2; }},
      {"temperature", L::sigmoid, [](Preference& p) { p.temperature = 0.9f; }},
      {"temperature of tokens", L::sigmoid,
       [](Preference& p) {
         p.temperatures.assign(p.rows(), 1.0f);
         p.temperatures[1] = 0.8f;
       }},
      {"normalizer", L::sigmoid, [](Preference& p) { p.normalizer = 5; }},
      {"nll_normalizer", L::orpo,
       [](Preference& p) {
         p.options.nll_coef = 0.5f;
         p.nll_normalizer = 3;
       }},
      {"grad_scale", L::sigmoid, [](Preference& p) { p.grad_scale = 2; }, true},
      {"ignore_index", L::sigmoid, [](Preference& p) { p.ignore_index = p.targets[0]; }},
      {"vocab_size", L::sigmoid,
       [](Preference& p) {
         std::fill(p.targets.begin(), p.targets.end(), 3);
         p.vocab_size = 40;
       }},
  };
}

TEST(PreferenceLossParameters, EachChangesTheAnswer) {
  for (const Context& context : kContexts)
    for (const Change& c : changes()) {
      SCOPED_TRACE(std::string(c.name) + " of " + to_string(c.loss) + ", " + name_of(context));
      const Preference before = base_batch(c.loss);
      Preference after = before;
      c.change(after);
      PreferenceCall was(before), is(after);
      was.run(context);
      is.run(context);
      for (const PreferenceCall* call : {&was, &is}) {
        std::vector<double> logps, h;
        text_of_rows(call->p, logps, h);
        const PreferenceText::Result text = PreferenceText{call->p}.at(logps);
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

// A reference per token is summed over the tokens that count.
TEST(PreferenceLossParameters, ReferencesOfTokensAreTheirSums) {
  for (const Context& context : kContexts)
    for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto}) {
      Preference p = base_batch(loss);
      p.ref_sums.clear();
      for (std::size_t i = 0; i < p.rows(); ++i) p.ref_tokens.push_back(-0.25f * float(i % 7));
      Preference sums = p;
      sums.ref_tokens.clear();
      sums.ref_sums.assign(4, 0);
      for (std::size_t i = 0; i < p.rows(); ++i)
        if (p.counts(i)) sums.ref_sums[i / 6] += p.ref_tokens[i];
      PreferenceCall of_tokens(p), of_sums(sums);
      of_tokens.run(context);
      EXPECT_TRUE(same_results(of_tokens, of_sums.run(context)));
    }
}

TEST(PreferenceLossParameters, AKlBelowZeroIsZero) {
  for (const Context& context : kContexts) {
    Preference p = base_batch(PreferenceLoss::kto);
    PreferenceCall zero(p);
    zero.run(context);
    p.kl = -3;
    PreferenceCall below(p);
    EXPECT_TRUE(same_results(below.run(context), zero));
  }
}

TEST(PreferenceLossParameters, DefaultsAreTrls) {
  const PreferenceOptions o;
  EXPECT_EQ(o.loss, PreferenceLoss::sigmoid);
  EXPECT_TRUE(!o.length_average && !o.reference_free);
  EXPECT_TRUE(o.beta == 0.1f && o.label_smoothing == 0 && o.gamma == 0.5f && o.nll_coef == 0);
  EXPECT_TRUE(o.desirable_weight == 1 && o.undesirable_weight == 1);
  const PreferenceLossArgs args;
  EXPECT_TRUE(args.temperature.value == 1 && args.grad_scale.value == 1 && args.kl.value == 0);
  EXPECT_TRUE(args.normalizer.value == 0 && args.nll_normalizer.value == 0);
  EXPECT_TRUE(args.ignore_index == -100 && args.vocab_size == 0);
}

// Options as all that they are made of.
std::vector<float> numbers_of(const PreferenceOptions& o) {
  return {
      float(o.loss), float(o.length_average), float(o.reference_free), o.beta,    o.label_smoothing,
      o.gamma,       o.desirable_weight,      o.undesirable_weight,    o.nll_coef};
}

TEST(PreferenceLossParameters, LossTypes) {
  struct Type {
    const char* name;
    PreferenceLoss loss;
    bool length_average;
    float nll_coef;
  };
  const Type types[] = {
      {"sigmoid", PreferenceLoss::sigmoid, false, 0}, {"hinge", PreferenceLoss::hinge, false, 0},
      {"ipo", PreferenceLoss::ipo, true, 0},          {"simpo", PreferenceLoss::simpo, true, 0},
      {"orpo", PreferenceLoss::orpo, true, 1},        {"kto", PreferenceLoss::kto, false, 0},
  };
  for (const Type& type : types)
    for (const bool was_other : {false, true}) {
      PreferenceOptions o{.beta = 0.2f, .gamma = 2, .desirable_weight = 1.1f};
      if (was_other) {
        o.loss = PreferenceLoss::hinge;
        o.length_average = true;
        o.nll_coef = 7;
      }
      PreferenceOptions wanted = o;
      wanted.loss = type.loss;
      wanted.length_average = type.length_average;
      wanted.nll_coef = type.nll_coef;
      ASSERT_TRUE(set_preference_loss_type(o, type.name).ok());
      EXPECT_EQ(numbers_of(o), numbers_of(wanted)) << type.name;
      PreferenceCall call(preference_batch(o, 2, 2, 10, 1));
      call.run();  // and it is legal
    }
  for (const char* unknown : {"", "DPO", "ipo ", "cpo", static_cast<const char*>(nullptr)}) {
    PreferenceOptions o{.loss = PreferenceLoss::simpo};
    const PreferenceOptions before = o;
    const Status status = set_preference_loss_type(o, unknown);
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(std::string(status.message()),
              "set_preference_loss_type: loss_type is " + std::string(unknown ? unknown : "null") +
                  ", must be sigmoid, hinge, ipo, simpo, orpo or kto");
    EXPECT_EQ(numbers_of(o), numbers_of(before));
  }
}

}  // namespace
}  // namespace logsum::test
