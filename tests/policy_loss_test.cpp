// SPDX-License-Identifier: Apache-2.0
// policy_loss against its text (support/policy_text.hpp) in every combination of options: the
// reference's gradient against differences of the loss of logits, the backends' results against
// the text at their own log-probs.
#include "logsum/policy_loss.hpp"

#include <gtest/gtest.h>

#include "support/loss_properties.hpp"
#include "support/policy_grid.hpp"
#include "support/truth.hpp"

namespace logsum::test {
namespace {

// A batch whose values all lie off the bounds that they are compared with: there the loss has no
// derivative.
Policy smooth_policy(const PolicyChoice& choice, std::int64_t columns, DType dtype,
                     std::uint32_t seed) {
  for (;; seed += 100000) {
    Policy p = varied_policy(choice, columns, dtype, seed);
    std::vector<double> logps, h;
    text_of_rows(p, logps, h);
    if (PolicyText{p, logps}.at(logps, h).margin > 5e-3) return p;
  }
}

double value_of(const std::vector<float>& values, std::size_t i) {
  return static_cast<double>(values[i]);
}

// Differences of all tokens' loss as one row's logit moves.
TEST(PolicyLoss, ReferenceIsTheDerivativeOfTheText) {
  std::uint32_t seed = 0;
  for (const PolicyChoice& choice : policy_choices()) {
    const Policy p = smooth_policy(choice, 7, DType::f32, ++seed);
    SCOPED_TRACE(choice.name() + ", seed " + std::to_string(seed));
    std::vector<double> logps, h;
    text_of_rows(p, logps, h);
    const PolicyText text{p, logps};
    PolicyCall got(p);
    got.run(kReference);
    EXPECT_NEAR(got.loss, text.at(logps, h).loss, 1e-12 * (1 + text.at(logps, h).size));
    for (std::size_t row = 0; row < p.rows(); ++row) {
      if (!p.counts(row)) {
        EXPECT_TRUE(got.gradient_is(row, 0.0f));
        continue;
      }
      for (std::size_t j = 0; j < 7; ++j) {
        const auto moved = [&](double by) {
          std::vector<double> z(p.logits[row].begin(), p.logits[row].end()), lp = logps, hs = h;
          z[j] += by;
          const TextRow moved_row(z, static_cast<double>(p.temperature_of(row)));
          lp[row] = moved_row.logps[static_cast<std::size_t>(p.targets[row])];
          hs[row] = moved_row.entropy;
          return text.at(lp, hs).loss;
        };
        constexpr double kStep = 1e-5;
        const double difference = p.grad_scale * (moved(kStep) - moved(-kStep)) / (2 * kStep);
        const auto column = static_cast<std::int64_t>(j);
        ASSERT_NEAR(static_cast<double>(got.grad.get(std::int64_t(row), column)), difference,
                    1e-8 + 1e-7 * std::fabs(difference))
            << "row " << row << " column " << j;
      }
    }
  }
}

void expect_gradient(const PolicyCall& call, const std::vector<double>& g, double per_entropy,
                     double error) {
  const Policy& p = call.p;
  for (std::size_t i = 0; i < p.rows(); ++i) {
    if (!p.counts(i)) {
      ASSERT_TRUE(call.gradient_is(i, 0.0f)) << i;
      continue;
    }
    const auto t = static_cast<double>(p.temperature_of(i));
    const double scale = p.grad_scale / t, c = p.keeps_loss(i) ? per_entropy : 0;
    const TextRow row({p.logits[i].begin(), p.logits[i].end()}, t);
    for (std::size_t j = 0; j < row.logps.size(); ++j) {
      const double pj = std::exp(row.logps[j]);
      const bool is_target = static_cast<std::int64_t>(j) == p.targets[i];
      const double rest = -std::expm1(row.logps[j]), noise = 1e-11 * (is_target ? rest : pj);
      const double of_loss = g[i] * (is_target ? rest : -pj);
      const double of_entropy = c * pj * (row.logps[j] + row.entropy);
      const double size =
          std::fabs(of_loss) + std::fabs(c * pj) * (std::fabs(row.logps[j]) + row.entropy);
      const double slack = scale * (error * size + noise) + 0x1p-149;
      const double truth = scale * (of_loss + of_entropy);
      const float got = call.gradients().get(std::int64_t(i), std::int64_t(j));
      ASSERT_TRUE(rounds_to(got, truth, slack, call.gradients().dtype()))
          << "row " << i << " column " << j;
    }
  }
}

void expect_metrics(const PolicyCall& call, const PolicyText::Result& text) {
  double n = 0, low = 0, high = 0, kl = 0, h = 0, r = 0, r2 = 0, least = kInf, most = -kInf;
  for (std::size_t i = 0; i < call.p.rows(); ++i) {
    if (!call.p.counts(i)) continue;
    ++n;
    low += text.clip[i] < 0;
    high += text.clip[i] > 0;
    kl += text.kl[i];
    h += value_of(call.entropy, i);
    r += text.ratio[i];
    r2 += text.ratio[i] * text.ratio[i];
    least = std::min(least, text.ratio[i]);
    most = std::max(most, text.ratio[i]);
  }
  const double wanted[] = {n,     0,     low / n, high / n, (low + high) / n, kl / n,
                           h / n, least, r / n,   most,     r * r / r2};
  for (int m = 0; m < kPolicyMetrics; ++m)
    EXPECT_NEAR(call.metrics[std::size_t(m)], wanted[m], 1e-9 * (1 + std::fabs(wanted[m])))
        << "metric " << m;
}

// All that a call wrote, against the text at the log-probs that it wrote.
void expect_text(const PolicyCall& call, double error) {
  const Policy& p = call.p;
  std::vector<double> logps(p.rows()), h(p.rows());
  for (std::size_t i = 0; i < p.rows(); ++i) {
    logps[i] = value_of(call.logps, i);
    h[i] = value_of(call.entropy, i);
    ASSERT_EQ(call.status_of(i), p.counts(i) ? RowStatus::ok : RowStatus::ignored) << i;
    if (!p.counts(i)) {
      ASSERT_TRUE(call.logps[i] == 0 && call.entropy[i] == 0 && call.token_loss[i] == 0 &&
                  call.kl[i] == 0);
      continue;
    }
    const TextRow row({p.logits[i].begin(), p.logits[i].end()}, double(p.temperature_of(i)));
    ASSERT_TRUE(within_contract(logps[i], row.logps[static_cast<std::size_t>(p.targets[i])]));
    ASSERT_TRUE(within_contract(h[i], row.entropy));
  }
  const PolicyText text{p, logps};
  const PolicyText::Result wanted = text.at(logps, h);
  EXPECT_NEAR(call.loss, wanted.loss, 1e-9 * wanted.size + 1e-14);
  for (std::size_t i = 0; i < p.rows(); ++i) {
    const auto near = [](float got, double truth) {
      return std::fabs(static_cast<double>(got) - truth) <= 1e-6 * std::fabs(truth) + 1e-12;
    };
    ASSERT_TRUE(near(call.token_loss[i], wanted.token_loss[i])) << i;
    ASSERT_TRUE(near(call.kl[i], wanted.kl[i])) << i << ": " << call.kl[i];
  }
  expect_metrics(call, wanted);
  const std::vector<double> g =
      derivatives(logps, [&](const std::vector<double>& moved) { return text.at(moved, h).loss; });
  expect_gradient(call, g, text.entropy_unit(), error);
}

TEST(PolicyLoss, BackendsKeepTheContract) {
  expect_backends_keep_the_contract<PolicyCall>(policy_choices(), smooth_policy, expect_text);
}

// Without the text between them.
TEST(PolicyLoss, CpuIsNearTheReference) {
  std::uint32_t seed = 0;
  for (const PolicyChoice& choice : policy_choices()) {
    const Policy p = smooth_policy(choice, 1000, DType::f32, 9000 + ++seed);
    if (seed % 5 != 0) continue;
    SCOPED_TRACE(choice.name());
    PolicyCall got(p), truth(p);
    got.run();
    truth.run(kReference);
    EXPECT_NEAR(got.loss, truth.loss, 1e-5 * (1 + std::fabs(truth.loss)));
    for (std::size_t i = 0; i < p.rows(); ++i) {
      EXPECT_NEAR(got.token_loss[i], truth.token_loss[i],
                  1e-5 * (1 + std::fabs(got.token_loss[i])));
      for (std::int64_t j = 0; j < 1000; ++j)
        ASSERT_NEAR(got.grad.get(std::int64_t(i), j), truth.grad.get(std::int64_t(i), j), 2e-6);
    }
  }
}

}  // namespace
}  // namespace logsum::test
