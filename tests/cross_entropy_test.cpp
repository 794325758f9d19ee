// SPDX-License-Identifier: Apache-2.0
// cross_entropy against its text (support/cross_entropy.hpp): the reference's gradient against
// differences of the loss, the backends' results against the formula.
#include "logsum/cross_entropy.hpp"

#include <gtest/gtest.h>

#include "support/cross_entropy.hpp"

namespace logsum::test {
namespace {

// Σ of the rows' losses, of which `row` has other logits.
double loss_with(const Classes& c, std::size_t row, const std::vector<double>& z) {
  const ClassUnits u = units_of(c);
  const ClassLoss l = loss_of_row(c, z, row);
  return u.per_token * (l.loss - l.z_loss) + u.per_z * l.z_loss;
}

TEST(CrossEntropy, ReferenceIsTheDerivativeOfTheText) {
  std::uint32_t seed = 0;
  for (const Classes& c : class_choices(4, 7, ++seed, DType::f32)) {
    ClassCall got(c);
    got.run(kReference);
    for (std::size_t row = 0; row < c.rows(); ++row) {
      if (!c.counts(row)) {
        EXPECT_TRUE(got.gradient_is(row, 0.0f));
        continue;
      }
      const double upstream = c.grad_scale * (c.grad_loss.empty() ? 1 : double(c.grad_loss[row]));
      for (std::size_t j = 0; j < 7; ++j) {
        const auto moved = [&](double by) {
          std::vector<double> z = as_doubles(c.logits[row]);
          z[j] += by;
          return loss_with(c, row, z);
        };
        constexpr double kStep = 1e-5;
        const double difference = upstream * (moved(kStep) - moved(-kStep)) / (2 * kStep);
        ASSERT_NEAR(double(got.grad.get(std::int64_t(row), std::int64_t(j))), difference,
                    1e-8 + 1e-7 * std::fabs(difference))
            << "row " << row << " column " << j;
      }
    }
  }
}

// The gradient and the size of its terms.
struct Derivative {
  double value, size;
};
std::vector<Derivative> gradient_of_row(const Classes& c, std::size_t row) {
  const ClassUnits u = units_of(c);
  const auto n = static_cast<std::size_t>(c.classes()), y = std::size_t(c.targets[row]);
  const auto cap = double(c.softcap), epsilon = double(c.label_smoothing);
  std::vector<float> z(n);
  std::vector<double> slope(n, 1);
  double all = 0;
  for (std::size_t j = 0; j < n; ++j) {
    z[j] = static_cast<float>(capped(double(c.logits[row][j]), cap));
    const double cosh = std::cosh(double(c.logits[row][j]) / (cap == 0 ? 1 : cap));
    if (cap != 0) slope[j] = 1 / (cosh * cosh);
    all += c.weight(std::int64_t(j));
  }
  const Truth truth(z);
  const double upstream = c.grad_scale * (c.grad_loss.empty() ? 1 : double(c.grad_loss[row]));
  std::vector<Derivative> result;
  for (std::size_t j = 0; j < n; ++j) {
    const double logp = truth.logprob(z[j]), p = std::exp(logp);
    const double hit = (1 - epsilon) * c.weight(std::int64_t(y)) * u.per_token;
    const double terms[] = {hit * (j == y ? std::expm1(logp) : p),
                            epsilon / double(n) * u.per_token * all * p,
                            -epsilon / double(n) * u.per_token * c.weight(std::int64_t(j)),
                            2 * double(c.lse_square_scale) * truth.lse() * u.per_z * p};
    Derivative d{};
    for (const double term : terms) {
      d.value += term * slope[j] * upstream;
      d.size += std::fabs(term * slope[j] * upstream);
    }
    result.push_back(d);
  }
  return result;
}

void expect_text(const ClassCall& call, double error) {
  const Classes& c = call.c;
  const ClassUnits u = units_of(c);
  double loss = 0, z_loss = 0, size = 0;
  for (std::size_t i = 0; i < c.rows(); ++i) {
    ASSERT_EQ(call.status_of(i), c.counts(i) ? RowStatus::ok : RowStatus::ignored);
    if (!c.counts(i)) {
      ASSERT_TRUE(call.token_loss[i] == 0 && call.lse[i] == 0 && call.gradient_is(i, 0.0f));
      continue;
    }
    const ClassLoss l = loss_of_row(c, as_doubles(c.logits[i]), i);
    // A softcap of 5 rounds logits by 1e-6.
    ASSERT_NEAR(double(call.token_loss[i]), l.loss, 1e-6 * l.size + 5e-7 * (1 + double(c.softcap)));
    loss += u.per_token * (l.loss - l.z_loss) + u.per_z * l.z_loss;
    z_loss += u.per_z * l.z_loss;
    size += u.per_token * l.size;
    const std::vector<Derivative> gradient = gradient_of_row(c, i);
    for (std::size_t j = 0; j < std::size_t(c.columns); ++j) {
      const float got = call.gradients().get(std::int64_t(i), std::int64_t(j));
      if (j >= gradient.size()) {
        ASSERT_EQ(got, 0.0f);
        continue;
      }
      const double slack = error * gradient[j].size + 0x1p-149;
      const DType dtype = call.gradients().dtype();
      ASSERT_TRUE(got >= rounded_to(static_cast<float>(gradient[j].value - slack), dtype) &&
                  got <= rounded_to(static_cast<float>(gradient[j].value + slack), dtype))
          << "row " << i << " column " << j << ": " << got << " for " << gradient[j].value;
    }
  }
  if (c.reduction == Reduction::none) return;
  EXPECT_NEAR(call.loss, loss, 2e-6 * size + 1e-7);
  EXPECT_NEAR(call.z_loss, z_loss, 1e-6 * z_loss);
}

// By the GPU's own exponential, to narrow outputs: looser (softmax.hpp).
double gradient_error(const Context& context, DType dtype) {
  return has_cpu_bits(context) || dtype == DType::f32 ? 6e-6 : 1.6e-5;
}

TEST(CrossEntropy, BackendsKeepTheContract) {
  std::uint32_t seed = 0;
  for (const std::int64_t columns : {1, 7, 1000, 5000, 12289})
    for (const DType dtype : logits_dtypes())
      for (const Classes& choice : class_choices(5, columns, ++seed, dtype)) {
        Classes c = choice;
        ClassForm form{.grad = seed % 2 ? dtype : DType::f32, .padding = seed % 3, .misalign = 1};
        form.in_place = form.grad == dtype && seed % 4 == 1;
        SCOPED_TRACE(std::to_string(columns) + " " + to_string(dtype) + " smoothing " +
                     std::to_string(c.label_smoothing) + " cap " + std::to_string(c.softcap));
        ClassCall first(c, {.grad = form.grad, .padding = form.padding, .misalign = 1});
        expect_text(first.run(fast_contexts()[0]), gradient_error(fast_contexts()[0], form.grad));
        for (const Context& context : contract_contexts()) {
          SCOPED_TRACE(name_of(context));
          ClassCall got(c, form);
          got.run(context);
          if (has_cpu_bits(context))
            ASSERT_TRUE(same_results(got, first));
          else
            expect_text(got, gradient_error(context, form.grad));
        }
        if (HasFailure()) return;
      }
}

TEST(CrossEntropy, PaddedColumnsDontCount) {
  for (Classes c : class_choices(4, 300, 3, DType::f32)) {
    c.vocab_size = 290;
    for (std::int64_t& y : c.targets) y = y == c.ignore_index ? y : y % 290;
    if (!c.weights.empty()) c.weights.resize(290);
    for (auto& z : c.logits) std::fill(z.begin() + 290, z.end(), kNaN);
    for (const Context& context : all_contexts()) {
      SCOPED_TRACE(name_of(context));
      ClassCall got(c);
      expect_text(got.run(context), 6e-6);
    }
  }
}

// Two halves with a given normalizer add up to the whole, to the bit.
TEST(CrossEntropy, HalvesAddUp) {
  for (const Context& context : contract_contexts())
    for (Classes c : class_choices(6, 5000, 5, DType::f32)) {
      if (c.reduction != Reduction::mean) continue;
      c.normalizer = 11;
      ClassCall whole(c);
      whole.run(context);
      double loss = 0, z_loss = 0;
      for (const std::size_t half : {0, 1}) {
        Classes part = c;
        const auto cut = [&](auto& values) {
          if (!values.empty())
            values = {values.begin() + std::ptrdiff_t(3 * half),
                      values.begin() + std::ptrdiff_t(3 * half + 3)};
        };
        cut(part.logits);
        cut(part.targets);
        cut(part.grad_loss);
        ClassCall got(part);
        got.run(context);
        loss += got.loss;
        z_loss += got.z_loss;
        for (std::size_t i = 0; i < 3; ++i)
          ASSERT_TRUE(same_row(got, i, whole, 3 * half + i)) << name_of(context);
      }
      EXPECT_EQ(loss, whole.loss) << name_of(context);
      EXPECT_EQ(z_loss, whole.z_loss) << name_of(context);
    }
}

// lse and, of a plain loss, its log-prob are those of token_logprobs, to the bit.
TEST(CrossEntropy, IsTheScorersLogProb) {
  for (const Context& context : contract_contexts())
    for (const DType dtype : logits_dtypes()) {
      const Classes c = class_batch(5, 9000, 8, dtype);
      ClassCall got(c);
      got.run(context);
      const Scores scores = scores_of(got.args.logits, c.targets, context);
      for (std::size_t i = 0; i < c.rows(); ++i) {
        if (!c.counts(i)) continue;
        EXPECT_TRUE(same_bits(got.lse[i], scores.lse[i]));
        EXPECT_TRUE(same_bits(got.token_loss[i], -scores.logprobs[i]));
      }
    }
}

}  // namespace
}  // namespace logsum::test
