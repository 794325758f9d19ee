// SPDX-License-Identifier: Apache-2.0
// The divergences of two rows by their formulas, in extended precision, and the contract's bounds.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/distill.hpp"

namespace logsum::test {

using Real = long double;

inline std::vector<Real> log_softmax_of(const std::vector<Real>& z) {
  const Real max = *std::max_element(z.begin(), z.end());
  Real sum = 0;
  for (const Real x : z) sum += std::exp(x - max);
  std::vector<Real> logs;
  for (const Real x : z) logs.push_back(x - max - std::log(sum));
  return logs;
}

// Bounds of distill_loss.hpp.
struct DistillBounds {
  double d, root, least;  // of a divergence: times it, times its root, and always
  double terms, own;      // of a gradient: times its terms, times the row's own probability
  double flush;           // what of a probability may be lost, in units of 2^-149
};
inline constexpr DistillBounds kExactBounds{4e-6, 4e-7, 1e-13, 4e-6, 4e-7, 1};
inline constexpr DistillBounds kQuickBounds{2e-5, 3e-6, 1e-12, 2e-5, 4e-6, 0x1p23};

inline const DistillBounds& bounds_of(const Distill& d, const Context& context) {
  const bool is_narrow = d.student_dtype != DType::f32 && d.teacher_dtype != DType::f32;
  const bool is_own = context.backend == Backend::cuda && !has_cpu_bits(context);
  return is_narrow && is_own ? kQuickBounds : kExactBounds;
}

struct DistillText {
  std::vector<Real> p, q, of_p, of_q;  // probabilities, and the log-ratios that go with them
  Real kl_p = 0, kl_q = 0;             // their means
  Divergence divergence;
  Real beta, ts, tt;

  DistillText(const Distill& d, std::size_t row)
      : DistillText(d, row, scaled(d, d.student[row], d.student_temperature_of(row)),
                    scaled(d, d.teacher[row], d.teacher_temperature_of(row))) {}

  // At these logits over their temperatures.
  DistillText(const Distill& d, std::size_t row, const std::vector<Real>& student,
              const std::vector<Real>& teacher)
      : divergence(d.divergence),
        beta(static_cast<Real>(d.beta)),
        ts(static_cast<Real>(d.student_temperature_of(row))),
        tt(static_cast<Real>(d.teacher_temperature_of(row))) {
    const std::vector<Real> log_q = log_softmax_of(student), log_p = log_softmax_of(teacher);
    for (std::size_t j = 0; j < log_p.size(); ++j) {
      p.push_back(std::exp(log_p[j]));
      q.push_back(std::exp(log_q[j]));
      Real beside_p = log_q[j], beside_q = log_p[j];
      if (divergence == Divergence::jsd) {
        const Real a = log_p[j] + std::log(beta), b = log_q[j] + std::log1p(-beta);
        const Real most = std::max(a, b), least = std::min(a, b);
        beside_p = beside_q = std::isinf(most) ? most : most + std::log1p(std::exp(least - most));
      }
      of_p.push_back(std::isinf(log_p[j]) ? 0 : log_p[j] - beside_p);
      of_q.push_back(std::isinf(log_q[j]) ? 0 : log_q[j] - beside_q);
      kl_p += of_p.back() == 0 ? 0 : p[j] * of_p[j];
      kl_q += of_q.back() == 0 ? 0 : q[j] * of_q[j];
    }
  }

  Real value() const {
    if (divergence == Divergence::forward_kl) return kl_p;
    return divergence == Divergence::reverse_kl ? kl_q : beta * kl_p + (1 - beta) * kl_q;
  }
  double slack(const DistillBounds& bounds) const {
    const auto d = static_cast<double>(std::max<Real>(value(), 0));
    return bounds.d * d + bounds.root * std::sqrt(d) + bounds.least;
  }

  // A gradient's element and what it is made of, without grad_scale/N; least: with it.
  struct Gradient {
    Real value, terms, own, least;
  };
  Gradient of_student(std::size_t j) const {
    if (divergence == Divergence::forward_kl) return of(q[j], p[j], 1 / ts);
    const Real weight = divergence == Divergence::jsd ? 1 - beta : 1;
    return of(q[j], of_q[j], kl_q, weight / ts);
  }
  Gradient of_teacher(std::size_t j) const {
    if (divergence == Divergence::reverse_kl) return of(p[j], q[j], 1 / tt);
    const Real weight = divergence == Divergence::jsd ? beta : 1;
    return of(p[j], of_p[j], kl_p, weight / tt);
  }

  static std::vector<Real> scaled(const Distill& d, const std::vector<float>& z, float t) {
    const std::size_t columns =
        d.vocab_size != 0 ? static_cast<std::size_t>(d.vocab_size) : z.size();
    std::vector<Real> scaled;
    for (std::size_t j = 0; j < columns; ++j)
      scaled.push_back(static_cast<Real>(z[j]) / static_cast<Real>(t));
    return scaled;
  }

 private:
  static Gradient of(Real own, Real other, Real factor) {
    return {factor * (own - other), factor * (own + other), factor * own, factor * 0x1p-148L};
  }
  static Gradient of(Real own, Real log_ratio, Real mean, Real factor) {
    if (own == 0) return {0, 0, 0, 0};
    const Real size = std::fabs(log_ratio) + std::fabs(mean);
    return {factor * own * (log_ratio - mean), factor * own * size, factor * own,
            factor * size * 0x1p-149L};
  }
};

inline void expect_gradient(const Rows& gradient, std::size_t row, std::size_t j, Real scale,
                            const DistillText::Gradient& text,
                            const DistillBounds& bounds = kExactBounds) {
  const Real truth = scale * text.value;
  const Real slack = std::fabs(scale) * (static_cast<Real>(bounds.terms) * text.terms +
                                         static_cast<Real>(bounds.own) * text.own) +
                     static_cast<Real>(bounds.flush) * text.least + 0x1p-149L;
  const float got = gradient.get(std::int64_t(row), std::int64_t(j));
  const DType dtype = gradient.dtype();
  EXPECT_TRUE(got >= rounded_to(static_cast<float>(truth - slack), dtype) &&
              got <= rounded_to(static_cast<float>(truth + slack), dtype))
      << "row " << row << " column " << j << ": " << got << " for " << truth << ", slack " << slack;
}

// All of a call's results, of rows that are ok.
inline void expect_text(const DistillCall& call, const DistillBounds& bounds = kExactBounds) {
  const Distill& d = call.d;
  const double n = d.normalizer != 0 ? d.normalizer : d.counted();
  double loss = 0, slack = 1e-15;
  for (std::size_t i = 0; i < d.rows(); ++i) {
    if (!d.counts(i)) {
      EXPECT_EQ(call.status_of(i), RowStatus::ignored);
      EXPECT_EQ(call.token_loss[i], 0.0f);
      EXPECT_TRUE(gradient_is(call.of_student(), i, 0.0f));
      EXPECT_TRUE(gradient_is(call.of_teacher(), i, 0.0f));
      continue;
    }
    EXPECT_EQ(call.status_of(i), RowStatus::ok);
    const DistillText text(d, i);
    const auto value = static_cast<double>(text.value());
    loss += value / n;
    slack += text.slack(bounds) / n;
    EXPECT_NEAR(static_cast<double>(call.token_loss[i]), value,
                text.slack(bounds) + 0x1p-24 * std::fabs(value))
        << "row " << i;
    for (std::size_t j = 0; j < text.p.size(); ++j) {
      const auto scale = static_cast<Real>(d.grad_scale / n);
      expect_gradient(call.of_student(), i, j, scale, text.of_student(j), bounds);
      expect_gradient(call.of_teacher(), i, j, scale, text.of_teacher(j), bounds);
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_NEAR(call.loss, loss, slack + 1e-12 * std::fabs(loss));
}

}  // namespace logsum::test
