// SPDX-License-Identifier: Apache-2.0
// preference_loss of rows without a distribution, targets and parameters out of range, sequences
// without tokens, scalars that are tensors.
#include <gtest/gtest.h>

#include <memory>

#include "support/loss_properties.hpp"
#include "support/preference_text.hpp"
#include "support/sick_tokens.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kSequences = 6, kTokens = 3;

Preference healthy(const PreferenceOptions& options, DType dtype = DType::f32) {
  Preference p = preference_batch(options, kSequences, kTokens, 300, 4, dtype);
  p.temperatures.assign(p.rows(), 0.75f);
  p.normalizer = 3;
  p.nll_normalizer = 9;
  p.options.nll_coef = 0.2f;
  return p;
}

TEST(PreferenceLossSpecial, ARowsTroubleStaysInItsPair) {
  for (const PreferenceOptions& options : preference_losses()) {
    if (options.length_average || options.label_smoothing > 0) continue;  // one of each loss
    for (const std::size_t bad : {4u, 16u})  // of a chosen and of a rejected sequence
      for (const auto& sick : sick_tokens<Preference>())
        for (const Context& context : all_contexts()) {
          SCOPED_TRACE(std::string(to_string(options.loss)) + " " + sick.name + " " +
                       name_of(context));
          Preference p = healthy(options);
          PreferenceCall well(p);
          well.run(context);
          sick.infect(p, bad);
          PreferenceCall got(p);
          got.run(context);
          const std::size_t sequence = bad / kTokens;
          const auto pair = std::size_t(p.pair_of(std::int64_t(sequence)));
          EXPECT_EQ(got.status_of(bad), sick.status);
          EXPECT_TRUE(std::isnan(got.loss) && std::isnan(got.pair_loss[pair]) &&
                      std::isnan(got.sums[sequence]) && std::isnan(got.rewards[sequence]) &&
                      std::isnan(got.logps[bad]));
          EXPECT_TRUE(got.gradient_is(bad, sick.gradient));
          for (std::size_t i = 0; i < got.pair_loss.size(); ++i)
            ASSERT_TRUE(i == pair || same_pair(got, i, well, i));
          for (std::size_t i = 0; i < p.rows(); ++i) {
            if (i == bad) continue;
            const auto of = std::size_t(p.pair_of(std::int64_t(i / kTokens)));
            if (of != pair) {
              ASSERT_TRUE(same_row(got, i, well, i)) << i;
              continue;
            }
            EXPECT_TRUE(same_bits(got.logps[i], well.logps[i]));
            EXPECT_TRUE(got.gradient_is(i, kNaN)) << i;
            EXPECT_EQ(got.status_of(i), RowStatus::overflow);
          }
          // The pair's other sequence keeps what is its own.
          for (std::size_t i = 0; i < got.sums.size(); ++i)
            ASSERT_TRUE(i == sequence || (same_bits(got.sums[i], well.sums[i]) &&
                                          same_bits(got.rewards[i], well.rewards[i])));
          EXPECT_EQ(got.metric(PreferenceMetric::pair_count), double(p.pairs()));
          EXPECT_EQ(got.metric(PreferenceMetric::bad_count), 1);
          for (const double m : got.metrics) EXPECT_TRUE(std::isfinite(m));
        }
  }
}

// A reference of NaN is its sequence's trouble, not its rows'.
TEST(PreferenceLossSpecial, AReferenceThatIsntANumber) {
  for (const Context& context : all_contexts())
    for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto}) {
      Preference p = healthy({.loss = loss});
      PreferenceCall well(p);
      well.run(context);
      p.ref_sums[1] = kNaN;
      PreferenceCall got(p);
      got.run(context);
      EXPECT_TRUE(std::isnan(got.pair_loss[1]) && std::isnan(got.rewards[1]));
      EXPECT_TRUE(same_bits(got.sums[1], well.sums[1]));
      for (std::size_t i = 0; i < p.rows(); ++i)
        if (p.pair_of(std::int64_t(i) / kTokens) != 1)
          ASSERT_TRUE(same_row(got, i, well, i));
        else
          EXPECT_TRUE(got.status_of(i) == RowStatus::overflow && got.gradient_is(i, kNaN));
    }
}

// Narrow gradients, in place, where a row's NaN could spread.
TEST(PreferenceLossSpecial, InPlaceAndNarrow) {
  for (const auto& sick : sick_tokens<Preference>())
    for (const DType dtype : logits_dtypes()) {
      Preference p = healthy({}, dtype);
      PreferenceCall well(p, {.grad = dtype});
      well.run();
      sick.infect(p, 4);
      PreferenceCall got(p, {.grad = dtype, .in_place = true});
      got.run();
      EXPECT_TRUE(got.gradient_is(4, sick.gradient)) << sick.name << " " << to_string(dtype);
      for (std::size_t i = 0; i < p.rows(); ++i)
        ASSERT_TRUE(p.pair_of(std::int64_t(i) / kTokens) == 1 || same_row(got, i, well, i))
            << sick.name << " " << to_string(dtype);
    }
}

// Nothing counts: sums of 0, as of sequences without rows, whose logits may be NaN.
TEST(PreferenceLossSpecial, EmptySequencesHaveSumsOfZero) {
  for (const PreferenceOptions& options : preference_losses())
    for (const Context& context : all_contexts()) {
      SCOPED_TRACE(std::string(to_string(options.loss)) + " " + name_of(context));
      Preference p = healthy(options);
      p.mask.assign(p.rows(), 0);
      for (auto& z : p.logits) std::fill(z.begin(), z.end(), kNaN);
      PreferenceCall masked(p);
      masked.run(context);
      const PreferenceText::Result text = PreferenceText{p}.at(std::vector<double>(p.rows(), 0));
      for (std::size_t i = 0; i < masked.pair_loss.size(); ++i)
        if (options.loss == PreferenceLoss::orpo)
          EXPECT_NEAR(masked.pair_loss[i], 0.1 * std::log(2), 1e-8);
        else
          EXPECT_NEAR(masked.pair_loss[i], text.pair_loss[i], 1e-6 * (1 + text.pair_loss[i]));
      for (std::size_t i = 0; i < p.rows(); ++i) {
        EXPECT_TRUE(masked.gradient_is(i, 0.0f));
        EXPECT_EQ(masked.status_of(i), RowStatus::ignored);
      }
      for (const float sum : masked.sums) EXPECT_TRUE(same_bits(sum, 0.0f));
      EXPECT_EQ(masked.metric(PreferenceMetric::nll), 0);
      // No rows at all.
      Preference none = p;
      none.logits.clear();
      none.targets.clear();
      none.mask.clear();
      none.temperatures.clear();
      none.tokens = 0;
      for (const bool is_packed : {false, true}) {
        if (is_packed) none.offsets.assign(kSequences + 1, 0);
        PreferenceCall got(none);
        got.run(context);
        for (std::size_t i = 0; i < got.pair_loss.size(); ++i)
          EXPECT_TRUE(same_pair(got, i, masked, i));
        EXPECT_TRUE(same_totals(got, masked));
      }
    }
}

TEST(PreferenceLossSpecial, NoSequences) {
  float* const none = nullptr;
  std::int64_t* const no_integers = nullptr;
  const std::int32_t offsets[] = {0};
  for (const Context& context : all_contexts())
    for (const bool is_packed : {false, true})
      for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto}) {
        double out = 99;
        std::vector<double> metrics(kPreferenceMetrics, 99);
        PreferenceLossArgs args{.logits = Tensor::of(none, {0, 10}),
                                .targets = Tensor::of(no_integers, {0}),
                                .cu_seqlens = Tensor::of(offsets, {1}),
                                .ref_logps = Tensor::of(none, {0}),
                                .loss = Tensor::of(&out, {}),
                                .per_pair_loss = Tensor::of(none, {0}),
                                .metrics = Tensor::of(metrics.data(), {kPreferenceMetrics}),
                                .grad_logits = Tensor::of(none, {0, 10}),
                                .options = {.loss = loss}};
        if (loss == PreferenceLoss::kto) {
          args.desirable = args.ref_logps;
          args.desirable.dtype = DType::u8;
        }
        if (!is_packed) {
          args.cu_seqlens = {};
          args.logits = args.grad_logits = Tensor::of(none, {0, 5, 10});
          args.targets = Tensor::of(no_integers, {0, 5});
        }
        must(on::preference_loss(args, context));
        EXPECT_EQ(out, 0) << name_of(context);
        for (const double m : metrics) EXPECT_EQ(m, 0);
      }
}

TEST(PreferenceLossSpecial, ScalarsOnTheDevice) {
  using A = PreferenceLossArgs;
  for (const Context& context : all_contexts())
    for (const auto of : {&A::normalizer, &A::nll_normalizer, &A::grad_scale, &A::kl}) {
      SCOPED_TRACE(name_of(context));
      expect_scalar_of_tensors(
          of == &A::normalizer || of == &A::nll_normalizer,
          [&](const PerRow<double>& value) {
            auto call = std::make_unique<PreferenceCall>(healthy({.loss = PreferenceLoss::kto}));
            call->args.*of = value;
            call->run(context);
            return call;
          },
          [](const PreferenceCall& got) {
            EXPECT_TRUE(std::isnan(got.loss));
            EXPECT_EQ(got.metric(PreferenceMetric::bad_count), kSequences);
            for (std::size_t i = 0; i < got.p.rows(); ++i)
              EXPECT_TRUE(got.status_of(i) == RowStatus::bad_parameter && got.gradient_is(i, kNaN));
          });
    }
}

// A pair whose own loss is finite isn't well where its negative log-likelihood is none.
TEST(PreferenceLossSpecial, AnInfiniteNllIsBad) {
  const float z[] = {3e38f, -3e38f, 0, 0}, ref[] = {0, 0};
  const std::int64_t targets[] = {1, 0};
  const std::uint8_t desirable[] = {1, 0};
  for (const Context& context : all_contexts())
    for (const float coef : {0.0f, 1.0f}) {
      std::vector<double> metrics(kPreferenceMetrics, 99);
      std::vector<std::int32_t> status(2, 99);
      must(on::preference_loss({.logits = Tensor::of(z, {2, 1, 2}),
                                .targets = Tensor::of(targets, {2, 1}),
                                .ref_logps = Tensor::of(ref, {2}),
                                .desirable = Tensor::of(desirable, {2}),
                                .metrics = Tensor::of(metrics.data(), {kPreferenceMetrics}),
                                .row_status = Tensor::of(status.data(), {2, 1}),
                                .options = {.loss = PreferenceLoss::kto, .nll_coef = coef}},
                               context));
      EXPECT_EQ(metrics[std::size_t(PreferenceMetric::bad_count)], coef != 0) << name_of(context);
      EXPECT_EQ(RowStatus(status[0]), coef != 0 ? RowStatus::overflow : RowStatus::ok);
      EXPECT_EQ(RowStatus(status[1]), RowStatus::ok);
    }
}

}  // namespace
}  // namespace logsum::test
