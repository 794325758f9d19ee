// SPDX-License-Identifier: Apache-2.0
// preference_loss against its text (support/preference_text.hpp) in every combination of options:
// the reference's gradient against differences of the loss of logits, the backends' results against
// the text at their own log-probs.
#include "logsum/preference_loss.hpp"

#include <gtest/gtest.h>

#include "support/loss_properties.hpp"
#include "support/preference_text.hpp"
#include "support/truth.hpp"

namespace logsum::test {
namespace {

// A batch where the loss has a derivative.
Preference smooth_batch(const PreferenceChoice& choice, std::int64_t columns, DType dtype,
                        std::uint32_t seed) {
  for (;; seed += 100000) {
    Preference p = varied_preference(choice, columns, dtype, seed);
    std::vector<double> logps, h;
    text_of_rows(p, logps, h);
    const PreferenceText::Result text = PreferenceText{p}.at(logps);
    if (text.margin > 5e-2 && std::isfinite(text.loss)) return p;
  }
}

double real(float x) { return static_cast<double>(x); }

// Differences of the loss as one row's logit moves.
TEST(PreferenceLoss, ReferenceIsTheDerivativeOfTheText) {
  std::uint32_t seed = 0;
  for (const PreferenceChoice& choice : preference_choices()) {
    const Preference p = smooth_batch(choice, 7, DType::f32, ++seed);
    SCOPED_TRACE(choice.name() + ", seed " + std::to_string(seed));
    std::vector<double> logps, h;
    text_of_rows(p, logps, h);
    const PreferenceText text{p};
    const PreferenceText::Result wanted = text.at(logps);
    PreferenceCall got(p);
    got.run(kReference);
    EXPECT_NEAR(got.loss, wanted.loss, 1e-12 * (1 + wanted.size));
    for (std::size_t row = 0; row < p.rows(); ++row) {
      if (!p.counts(row)) {
        EXPECT_TRUE(got.gradient_is(row, 0.0f));
        continue;
      }
      for (std::size_t j = 0; j < 7; ++j) {
        const auto moved = [&](double by) {
          std::vector<double> z(p.logits[row].begin(), p.logits[row].end()), lp = logps;
          z[j] += by;
          const TextRow moved_row(z, real(p.temperature_of(row)));
          lp[row] = moved_row.logps[static_cast<std::size_t>(p.targets[row])];
          return text.at(lp).loss;
        };
        constexpr double kStep = 1e-5;
        const double difference = p.grad_scale * (moved(kStep) - moved(-kStep)) / (2 * kStep);
        ASSERT_NEAR(real(got.grad.get(std::int64_t(row), std::int64_t(j))), difference,
                    1e-8 + 1e-7 * (std::fabs(difference) + p.grad_scale * wanted.size))
            << "row " << row << " column " << j;
      }
    }
  }
}

void expect_gradient(const PreferenceCall& call, const PreferenceText& text,
                     const std::vector<double>& logps, double error) {
  const Preference& p = call.p;
  const std::vector<double> g =
      derivatives(logps, [&](const std::vector<double>& moved) { return text.at(moved).loss; });
  const double size = text.at(logps).size;
  for (std::size_t i = 0; i < p.rows(); ++i) {
    if (!p.counts(i)) {
      ASSERT_TRUE(call.gradient_is(i, 0.0f)) << i;
      continue;
    }
    const auto t = real(p.temperature_of(i));
    const double scale = p.grad_scale / t;
    const TextRow row({p.logits[i].begin(), p.logits[i].end()}, t);
    for (std::size_t j = 0; j < row.logps.size(); ++j) {
      const bool is_target = static_cast<std::int64_t>(j) == p.targets[i];
      const double share = is_target ? -std::expm1(row.logps[j]) : std::exp(row.logps[j]);
      const double truth = scale * (is_target ? g[i] : -g[i]) * share;
      // The difference itself is off by 1e-16·loss/step.
      const double noise = scale * share * 1e-11 * (1 + size);
      const double slack = error * std::fabs(truth) + noise + 0x1p-149;
      const float got = call.gradients().get(std::int64_t(i), std::int64_t(j));
      ASSERT_TRUE(rounds_to(got, truth, slack, call.gradients().dtype()))
          << "row " << i << " column " << j;
    }
  }
}

void expect_metrics(const PreferenceCall& call, const PreferenceText::Result& wanted) {
  const Preference& p = call.p;
  bool has_chosen = false, has_rejected = false;
  for (std::int64_t b = 0; b < p.sequences; ++b) (p.is_chosen(b) ? has_chosen : has_rejected) = 1;
  const double margin =
      has_chosen && has_rejected ? wanted.chosen_reward - wanted.rejected_reward : 0;
  const double expected[] = {
      double(p.pairs()), 0, wanted.chosen_reward, wanted.rejected_reward, wanted.accuracy, margin,
      wanted.nll};
  for (int m = 0; m < kPreferenceMetrics; ++m)
    EXPECT_NEAR(call.metrics[std::size_t(m)], expected[m], 1e-9 * (1 + std::fabs(expected[m])))
        << "metric " << m;
}

// All that a call wrote, against the text at the log-probs that it wrote.
void expect_text(const PreferenceCall& call, double error) {
  const Preference& p = call.p;
  std::vector<double> logps(p.rows());
  for (std::size_t i = 0; i < p.rows(); ++i) {
    logps[i] = real(call.logps[i]);
    ASSERT_EQ(call.status_of(i), p.counts(i) ? RowStatus::ok : RowStatus::ignored) << i;
    if (!p.counts(i)) {
      ASSERT_EQ(call.logps[i], 0);
      continue;
    }
    const TextRow row({p.logits[i].begin(), p.logits[i].end()}, real(p.temperature_of(i)));
    ASSERT_TRUE(within_contract(logps[i], row.logps[static_cast<std::size_t>(p.targets[i])]));
  }
  const PreferenceText text{p};
  const PreferenceText::Result wanted = text.at(logps);
  EXPECT_NEAR(call.loss, wanted.loss, 1e-9 * wanted.size + 1e-14);
  const auto near = [](float got, double truth) {
    return std::fabs(real(got) - truth) <= 1e-6 * std::fabs(truth) + 1e-12;
  };
  for (std::size_t i = 0; i < call.pair_loss.size(); ++i)
    EXPECT_TRUE(near(call.pair_loss[i], wanted.pair_loss[i])) << i << ": " << call.pair_loss[i];
  for (std::size_t i = 0; i < call.sums.size(); ++i) {
    EXPECT_TRUE(near(call.sums[i], wanted.sums[i])) << i;
    EXPECT_TRUE(near(call.rewards[i], wanted.rewards[i])) << i;
  }
  expect_metrics(call, wanted);
  expect_gradient(call, text, logps, error);
}

TEST(PreferenceLoss, BackendsKeepTheContract) {
  expect_backends_keep_the_contract<PreferenceCall>(preference_choices(), smooth_batch,
                                                    expect_text);
}

// Without the text between them.
TEST(PreferenceLoss, CpuIsNearTheReference) {
  std::uint32_t seed = 0;
  for (const PreferenceChoice& choice : preference_choices()) {
    const Preference p = smooth_batch(choice, 1000, DType::f32, 9000 + ++seed);
    if (seed % 3 != 0) continue;
    SCOPED_TRACE(choice.name());
    PreferenceCall got(p), truth(p);
    got.run();
    truth.run(kReference);
    EXPECT_NEAR(got.loss, truth.loss, 1e-5 * (1 + std::fabs(truth.loss)));
    for (std::size_t i = 0; i < got.pair_loss.size(); ++i)
      EXPECT_NEAR(got.pair_loss[i], truth.pair_loss[i], 1e-5 * (1 + std::fabs(got.pair_loss[i])));
    for (std::size_t i = 0; i < p.rows(); ++i)
      for (std::int64_t j = 0; j < 1000; ++j)
        ASSERT_NEAR(got.grad.get(std::int64_t(i), j), truth.grad.get(std::int64_t(i), j),
                    2e-6f * (1 + std::fabs(truth.grad.get(std::int64_t(i), j))));
  }
}

}  // namespace
}  // namespace logsum::test
