// SPDX-License-Identifier: Apache-2.0
// distill_loss of rows with −∞, NaN, +∞ or nothing in them, of logits and scales of any size, of
// masked rows: what each row's status, loss and gradients are, and that others are their own.
#include <gtest/gtest.h>

#include "support/distill_text.hpp"

namespace logsum::test {
namespace {

constexpr Divergence kDivergences[] = {Divergence::forward_kl, Divergence::reverse_kl,
                                       Divergence::jsd};

Distill one(Divergence divergence, std::vector<float> student, std::vector<float> teacher) {
  Distill d;
  d.columns = std::int64_t(student.size());
  d.divergence = divergence;
  d.add(std::move(student), std::move(teacher));
  return d;
}

// Of a column that has a probability in f32.
bool has_ratio_beyond_f32(const DistillText& text) {
  const bool is_reverse = text.divergence == Divergence::reverse_kl;
  const auto& p = is_reverse ? text.q : text.p;
  const auto& ratios = is_reverse ? text.of_q : text.of_p;
  for (std::size_t j = 0; j < p.size(); ++j)
    if (static_cast<float>(p[j]) > 0 && ratios[j] > std::numeric_limits<float>::max()) return true;
  return false;
}

// Every pair of healthy rows: masks, holes, staircases, ±10^37.
void expect_pairs_of_healthy_rows(Divergence divergence, std::int64_t columns, DType dtype) {
  Distill d;
  d.columns = columns;
  d.divergence = divergence;
  d.student_dtype = d.teacher_dtype = dtype;
  d.beta = 0.35f;
  std::vector<std::string> names;
  const auto values = healthy_values(columns, dtype);
  for (std::size_t i = 0; i < values.size(); ++i)
    for (const std::size_t by : {1, 4, 9}) {
      d.add(values[i], values[(i + by) % values.size()]);
      names.push_back(healthy_rows()[i].name + " by " +
                      healthy_rows()[(i + by) % values.size()].name);
    }
  DistillCall first(d);
  first.run(fast_contexts()[0]);
  for (const Context& context : merge_contexts()) {
    SCOPED_TRACE(test::name_of(context));
    const DistillBounds& bounds = bounds_of(d, context);
    DistillCall call(d);
    call.run(context);
    if (has_cpu_bits(context)) {
      EXPECT_TRUE(same_results(call, first));
    }
    for (std::size_t i = 0; i < d.rows(); ++i) {
      SCOPED_TRACE(names[i] + ", divergence " + std::to_string(int(divergence)));
      const DistillText text(d, i);
      const auto truth = static_cast<double>(text.value());
      const bool is_finite =
          truth <= double(std::numeric_limits<float>::max()) && !has_ratio_beyond_f32(text);
      EXPECT_EQ(call.status_of(i), is_finite ? RowStatus::ok : RowStatus::overflow);
      if (is_finite)
        EXPECT_NEAR(double(call.token_loss[i]), truth, text.slack(bounds) + 0x1p-24 * truth);
      else
        EXPECT_EQ(call.token_loss[i], kInf);
      // The gradient that no mean of log-ratios is subtracted in is as ever.
      const bool student_has_mean = divergence != Divergence::forward_kl;
      const bool teacher_has_mean = divergence != Divergence::reverse_kl;
      const Real scale = 1 / static_cast<Real>(d.rows());
      for (std::size_t j = 0; j < text.p.size() && !::testing::Test::HasFailure(); ++j) {
        if (is_finite || !student_has_mean)
          expect_gradient(call.grad_student, i, j, scale, text.of_student(j), bounds);
        if (is_finite || !teacher_has_mean)
          expect_gradient(call.grad_teacher, i, j, scale, text.of_teacher(j), bounds);
      }
      if (::testing::Test::HasFailure()) return;
      if (is_finite) continue;
      EXPECT_EQ(gradient_is(call.grad_student, i, kNaN), student_has_mean);
      EXPECT_EQ(gradient_is(call.grad_teacher, i, kNaN), teacher_has_mean);
    }
  }
}

TEST(DistillLossSpecial, AnyTwoHealthyRows) {
  for (const Divergence divergence : kDivergences)
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const std::int64_t columns : {50, 5000}) {
        expect_pairs_of_healthy_rows(divergence, columns, dtype);
        if (HasFailure()) return;
      }
}

TEST(DistillLossSpecial, WhatTheSecondCannotBe) {
  const std::vector<float> all = {1, 2, 0.5f, 0}, masked = {1, 2, -kInf, 0};
  for (const Context& context : merge_contexts()) {
    SCOPED_TRACE(test::name_of(context));
    DistillCall forward(one(Divergence::forward_kl, masked, all));
    forward.run(context);
    EXPECT_EQ(forward.status_of(0), RowStatus::overflow);
    EXPECT_EQ(forward.token_loss[0], kInf);
    EXPECT_EQ(forward.loss, HUGE_VAL);
    EXPECT_TRUE(gradient_is(forward.grad_teacher, 0, kNaN));
    const DistillText text(forward.d, 0);
    for (std::size_t j = 0; j < 4; ++j)
      expect_gradient(forward.grad_student, 0, j, 1, text.of_student(j));

    // The same pair the other way round, and where it does no harm.
    DistillCall reverse(one(Divergence::reverse_kl, all, masked));
    EXPECT_EQ(reverse.run(context).status_of(0), RowStatus::overflow);
    EXPECT_TRUE(gradient_is(reverse.grad_student, 0, kNaN));
    for (const Divergence divergence : kDivergences) {
      DistillCall both(one(divergence, masked, {0.5f, 1, -kInf, 2}));
      expect_text(both.run(context));
      EXPECT_EQ(both.grad_student.get(0, 2), 0.0f);
      EXPECT_EQ(both.grad_teacher.get(0, 2), 0.0f);
    }
    DistillCall allowed(one(Divergence::forward_kl, all, masked));
    expect_text(allowed.run(context));
    DistillCall jsd(one(Divergence::jsd, all, masked));
    expect_text(jsd.run(context));
  }
}

// A probability too small for f32 isn't one that may be compared with nothing at all.
TEST(DistillLossSpecial, InfiniteThoughTheProbabilityUnderflows) {
  for (const Context& context : merge_contexts()) {
    DistillCall call(one(Divergence::forward_kl, {0, -kInf}, {0, -300}));
    EXPECT_EQ(call.run(context).status_of(0), RowStatus::overflow);
    EXPECT_EQ(call.token_loss[0], kInf);
    DistillCall finite(one(Divergence::forward_kl, {0, -500}, {0, -300}));
    EXPECT_EQ(finite.run(context).status_of(0), RowStatus::ok);
    EXPECT_EQ(finite.token_loss[0], 0.0f);
  }
}

TEST(DistillLossSpecial, TwoSupportsThatDontMeet) {
  const std::vector<float> a = {1, 2, -kInf, -kInf}, b = {-kInf, -kInf, 3, 0};
  for (const Context& context : merge_contexts()) {
    DistillCall call(one(Divergence::jsd, a, b));
    call.run(context);
    expect_text(call);
    EXPECT_NEAR(call.loss, std::log(2.0), 1e-6);
  }
}

TEST(DistillLossSpecial, BadRowsSayWhatTheyAreAndHarmNoOther) {
  const std::int64_t columns = 4500;
  for (const Divergence divergence : kDivergences) {
    Distill d;
    d.columns = columns;
    d.divergence = divergence;
    std::vector<RowStatus> wanted;
    const auto add = [&](std::vector<float> student, std::vector<float> teacher, RowStatus status) {
      d.add(std::move(student), std::move(teacher));
      wanted.push_back(status);
      add_random(d, static_cast<std::uint32_t>(wanted.size()));
      wanted.push_back(RowStatus::ok);
    };
    const auto healthy = [&] { return gaussian(columns, 77, 2, 0); };
    for (const SickRow& sick : sick_rows()) {
      std::vector<float> z = healthy();
      sick.infect(z);
      const RowStatus status =
          sick.name == "empty" ? RowStatus::empty
          : sick.name.rfind("pos_inf", 0) == 0 && sick.name != "pos_inf_and_nan"
              ? RowStatus::pos_inf
              : RowStatus::nan;
      add(z, healthy(), status);
      add(healthy(), z, status);
    }
    std::vector<float> nan = healthy(), inf = healthy();
    nan[5] = kNaN;
    inf[4200] = kInf;
    const std::vector<float> empty(static_cast<std::size_t>(columns), -kInf);
    add(inf, nan, RowStatus::nan);
    add(nan, inf, RowStatus::nan);
    add(empty, inf, RowStatus::pos_inf);
    add(empty, nan, RowStatus::nan);
    for (const Context& context : merge_contexts()) {
      SCOPED_TRACE(test::name_of(context));
      DistillCall call(d);
      call.run(context);
      EXPECT_TRUE(std::isnan(call.loss));
      for (std::size_t i = 0; i < d.rows(); ++i) {
        EXPECT_EQ(call.status_of(i), wanted[i]) << i;
        if (wanted[i] == RowStatus::ok) {
          Distill alone_d = d.only(i);
          DistillCall alone(alone_d);
          EXPECT_TRUE(same_row(call, i, alone.run(context), 0)) << i;
          continue;
        }
        const float value = wanted[i] == RowStatus::empty ? 0.0f : kNaN;
        EXPECT_TRUE(std::isnan(call.token_loss[i])) << i;
        EXPECT_TRUE(gradient_is(call.grad_student, i, value)) << i;
        EXPECT_TRUE(gradient_is(call.grad_teacher, i, value)) << i;
      }
    }
  }
}

TEST(DistillLossSpecial, BadTemperaturesOfRows) {
  Distill d;
  d.columns = 300;
  for (std::uint32_t i = 0; i < 6; ++i) add_random(d, i);
  d.student[4][7] = kNaN;  // is not what is told of a row whose temperature is bad
  d.student_temperatures = {1, 0, 0.5f, 1, -2, 1};
  d.teacher_temperatures = {1, 1, 2, kNaN, 1, 0x1p65f};
  for (const Context& context : merge_contexts()) {
    DistillCall call(d);
    call.run(context);
    for (std::size_t i = 0; i < 6; ++i) {
      const bool is_bad = i != 0 && i != 2;
      EXPECT_EQ(call.status_of(i), is_bad ? RowStatus::bad_parameter : RowStatus::ok) << i;
      EXPECT_EQ(std::isnan(call.token_loss[i]), is_bad) << i;
      EXPECT_EQ(gradient_is(call.grad_student, i, kNaN), is_bad) << i;
      EXPECT_EQ(gradient_is(call.grad_teacher, i, kNaN), is_bad) << i;
    }
  }
}

TEST(DistillLossSpecial, TemperaturesOfAnySize) {
  for (const Divergence divergence : kDivergences)
    for (const float t : {0x1p-64f, 1e-6f, 0.01f, 100.0f, 0x1p64f}) {
      Distill d;
      d.columns = 4200;
      d.divergence = divergence;
      add_random(d, 3);
      // Otherwise a KL is beyond f32.
      d.student_temperature = divergence == Divergence::jsd ? t : std::max(t, 1e-6f);
      d.teacher_temperature = 1.5f;
      for (const Context& context : {fast_contexts().back(), kReference}) {
        SCOPED_TRACE(test::name_of(context) + ", T " + std::to_string(t));
        DistillCall call(d);
        expect_text(call.run(context));
      }
    }
}

// Masked rows are neither read nor counted, whatever is in them.
TEST(DistillLossSpecial, MaskedRows) {
  for (const Divergence divergence : kDivergences) {
    Distill d;
    d.columns = 5000;
    d.divergence = divergence;
    for (std::uint32_t i = 0; i < 5; ++i) add_random(d, i);
    d.mask = {1, 0, 255, 0, 1};
    Distill spoilt = d;
    spoilt.student[1].assign(5000, kNaN);
    spoilt.teacher[3].assign(5000, kInf);
    for (const Context& context : contract_contexts()) {
      DistillCall call(d), other(spoilt);
      expect_text(call.run(context));
      EXPECT_TRUE(same_results(other.run(context), call));
    }
  }
}

TEST(DistillLossSpecial, NothingCounts) {
  Distill d;
  d.columns = 300;
  add_random(add_random(d, 1), 2);
  d.mask = {0, 0};
  Distill none;
  none.columns = 300;
  for (const Context& context : merge_contexts()) {
    DistillCall call(d);
    expect_text(call.run(context));
    EXPECT_EQ(call.loss, 0);
    DistillCall no_rows(none);
    EXPECT_EQ(no_rows.run(context).loss, 0);
  }
}

// What only the device can see: every row is bad.
TEST(DistillLossSpecial, BadScalarsInTensors) {
  Distill d;
  d.columns = 300;
  add_random(add_random(d, 1), 2);
  d.mask = {1, 0};
  for (const Context& context : merge_contexts())
    for (const double bad : {-1.0, std::nan(""), HUGE_VAL})
      for (const bool is_scale : {false, true}) {
        if (is_scale && bad == -1) continue;
        DistillCall call(d);
        (is_scale ? call.args.grad_scale : call.args.normalizer).tensor = Tensor::of(&bad, {});
        call.run(context);
        EXPECT_EQ(call.status_of(0), RowStatus::bad_parameter);
        EXPECT_EQ(call.status_of(1), RowStatus::ignored);
        EXPECT_TRUE(std::isnan(call.loss));
        EXPECT_TRUE(gradient_is(call.grad_student, 0, kNaN));
        EXPECT_TRUE(gradient_is(call.grad_student, 1, 0.0f));
      }
}

TEST(DistillLossSpecial, ScalesOfAnySize) {
  for (const Divergence divergence : kDivergences)
    for (const double scale : {0.0, -2.0, 1e-20, 65536.0, 1e12, 1e37}) {
      Distill d;
      d.columns = 4500;
      d.divergence = divergence;
      d.grad_scale = scale;
      add_random(d, 9);
      SCOPED_TRACE("scale " + std::to_string(scale));
      for (const Context& context : {fast_contexts().back(), kReference}) {
        DistillCall call(d);
        expect_text(call.run(context));
      }
    }
  Distill d;
  d.columns = 30;
  add_random(d, 9);
  d.grad_scale = 1e300;
  for (const Context& context : merge_contexts()) {
    DistillCall call(d);
    EXPECT_EQ(call.run(context).status_of(0), RowStatus::ok);
    EXPECT_TRUE(gradient_is(call.grad_student, 0, kNaN));
    EXPECT_TRUE(gradient_is(call.grad_teacher, 0, kNaN));
  }
}

}  // namespace
}  // namespace logsum::test
