// SPDX-License-Identifier: Apache-2.0
// cross_entropy of rows without a distribution, targets out of range, extreme logits, −∞ and its
// softcap, weights of 0, nothing that counts; and that each parameter changes the answer.
#include <gtest/gtest.h>

#include <functional>

#include "support/cross_entropy.hpp"
#include "support/sick_tokens.hpp"

namespace logsum::test {
namespace {

TEST(CrossEntropySpecial, ARowsTroubleStaysInIt) {
  constexpr std::size_t kBad = 3;
  for (const auto& sick : sick_logits_and_targets<Classes>())
    for (const DType dtype : logits_dtypes())
      for (Classes c : class_choices(6, 300, 4, dtype))
        for (const Context& context : all_contexts()) {
          SCOPED_TRACE(sick.name + " " + name_of(context) + " cap " + std::to_string(c.softcap));
          if (c.reduction == Reduction::mean) c.normalizer = 5;
          ClassCall well(c, {.grad = dtype});
          well.run(context);
          Classes spoiled = c;
          sick.infect(spoiled, kBad);
          ClassCall got(spoiled, {.grad = dtype, .in_place = true});
          got.run(context);
          for (std::size_t i = 0; i < c.rows(); ++i)
            ASSERT_TRUE(i == kBad || same_row(got, i, well, i));
          // Through a softcap infinities are logits like others.
          if (c.softcap != 0 &&
              (sick.status == RowStatus::pos_inf || sick.status == RowStatus::empty)) {
            EXPECT_EQ(got.status_of(kBad), RowStatus::ok);
            continue;
          }
          EXPECT_EQ(got.status_of(kBad), sick.status);
          EXPECT_TRUE(std::isnan(got.token_loss[kBad]));
          EXPECT_TRUE(c.reduction == Reduction::none || std::isnan(got.loss));
          EXPECT_TRUE(got.gradient_is(kBad, sick.gradient));
        }
}

// A masked vocabulary: −∞ has no gradient, and a target there an infinite loss, unless it weighs
// nothing.
TEST(CrossEntropySpecial, MaskedVocabulary) {
  for (const Context& context : all_contexts())
    for (const DType dtype : logits_dtypes()) {
      SCOPED_TRACE(name_of(context));
      Classes c = class_batch(4, 300, 2, dtype);
      for (auto& z : c.logits)
        for (std::size_t j = 0; j < 300; j += 2) z[j] = -kInf;
      c.targets = {11, 13, 12, 17};
      c.weights = class_weights(300);
      c.normalizer = 4;
      ClassCall got(c);
      got.run(context);
      EXPECT_EQ(got.status_of(2), RowStatus::overflow);
      EXPECT_EQ(got.token_loss[2], kInf);
      EXPECT_EQ(got.loss, HUGE_VAL);
      // 1 − p of the target is 1.
      EXPECT_FLOAT_EQ(got.grad.get(2, 12), -c.weights[12] / 4);
      for (const std::int64_t row : {0, 1, 3}) {
        EXPECT_EQ(got.status_of(std::size_t(row)), RowStatus::ok);
        for (std::int64_t j = 0; j < 300; j += 2) EXPECT_EQ(got.grad.get(row, j), 0.0f);
      }
      c.weights[12] = 0;
      ClassCall weightless(c);
      weightless.run(context);
      EXPECT_EQ(weightless.token_loss[2], 0.0f);
      EXPECT_TRUE(weightless.gradient_is(2, 0.0f));
      EXPECT_TRUE(std::isfinite(weightless.loss));
      // All classes have a part in a smooth loss, but those that weigh nothing.
      c.label_smoothing = 0.1f;
      for (std::size_t j = 0; j < 300; j += 2) c.weights[j] = 0;
      ClassCall smooth(c);
      smooth.run(context);
      EXPECT_TRUE(std::isfinite(smooth.loss));
      c.weights[20] = 1;
      ClassCall infinite(c);
      infinite.run(context);
      for (const std::size_t row : {0, 1, 2, 3})
        EXPECT_EQ(infinite.status_of(row), RowStatus::overflow);
    }
}

// p of the target near 1: the gradient keeps its relative accuracy; and huge logits.
TEST(CrossEntropySpecial, ExtremeRows) {
  for (const Context& context : all_contexts())
    for (const float gap : {20.0f, 30.0f, 60.0f, 85.0f, 1e4f, 1e38f})
      for (const bool is_right : {false, true}) {
        SCOPED_TRACE(name_of(context) + " " + std::to_string(gap));
        Classes c;
        c.columns = 5000;
        c.logits = {std::vector<float>(5000, is_right ? 0.0f : gap)};
        c.logits[0][4200] = is_right ? gap : 0;
        c.targets = {4200};
        ClassCall got(c);
        got.run(context);
        const double others = 4999 * std::exp(-double(gap));
        const double rest = is_right ? others / (1 + others) : 1;
        EXPECT_NEAR(double(got.grad.get(0, 4200)), -rest, 6e-6 * rest + 0x1p-149);
        EXPECT_TRUE(std::isfinite(got.loss) && got.loss >= 0);
        EXPECT_NEAR(got.loss, is_right ? std::log1p(others) : double(gap) + std::log(4999.0),
                    1e-6 * (1 + double(gap)));
      }
}

// The gradient of other columns may vanish where the target's doesn't: g = s.
TEST(CrossEntropySpecial, SharesThatCancel) {
  for (const Context& context : all_contexts()) {
    Classes c;
    c.columns = 3;
    c.logits = {{-2, -2, -2}};
    c.targets = {1};
    c.reduction = Reduction::sum;
    // 2·λ·lse is −1 to the bit of an f32 λ, or nearly: then the others' is nearly 0.
    const double lse = -2 + std::log(3.0);
    c.lse_square_scale = static_cast<float>(-1 / (2 * double(static_cast<float>(lse))));
    ClassCall got(c);
    got.run(context);
    EXPECT_NEAR(got.grad.get(0, 0), 0, 1e-6) << name_of(context);
    EXPECT_NEAR(got.grad.get(0, 1), -1, 1e-6);
    // Label smoothing with weights that cancel: no exponential is left.
    c.lse_square_scale = 0;
    c.label_smoothing = 1;
    c.weights = {1, 2, -3};
    ClassCall smooth(c);
    smooth.run(context);
    for (std::int64_t j = 0; j < 3; ++j)
      EXPECT_NEAR(smooth.grad.get(0, j), -c.weights[std::size_t(j)] / 3, 1e-6);
  }
}

// Far out a softcap is flat, whatever the gradient is multiplied by.
TEST(CrossEntropySpecial, ASoftcapEnds) {
  for (const Context& context : all_contexts()) {
    Classes c;
    c.columns = 4;
    c.logits = {{-kInf, 1, kInf, 50}};
    c.targets = {1};
    c.softcap = 1;
    c.grad_scale = 1e30;
    ClassCall got(c);
    got.run(context);
    EXPECT_EQ(got.status_of(0), RowStatus::ok) << name_of(context);
    for (const std::int64_t j : {0, 2}) EXPECT_EQ(got.grad.get(0, j), 0.0f) << name_of(context);
    EXPECT_LT(got.grad.get(0, 1), -1e29f);
    EXPECT_NEAR(got.grad.get(0, 3), 0, 1e-10);
  }
}

TEST(CrossEntropySpecial, NothingThatCountsIsALossOf0) {
  for (Classes c : class_choices(4, 300, 6, DType::f32))
    for (const Context& context : all_contexts()) {
      c.targets.assign(4, c.ignore_index);
      for (auto& z : c.logits) std::fill(z.begin(), z.end(), kNaN);
      ClassCall none(c);
      none.run(context);
      EXPECT_TRUE(c.reduction == Reduction::none || (none.loss == 0 && none.z_loss == 0));
      for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(none.gradient_is(i, 0.0f));
        EXPECT_EQ(none.status_of(i), RowStatus::ignored);
      }
    }
  double loss = 99;
  float* const nothing = nullptr;
  std::int64_t* const no_targets = nullptr;
  for (const Context& context : all_contexts()) {
    loss = 99;
    must(on::cross_entropy({.logits = Tensor::of(nothing, {0, 10}),
                            .targets = Tensor::of(no_targets, {0}),
                            .loss = Tensor::of(&loss, {}),
                            .grad_logits = Tensor::of(nothing, {0, 10})},
                           context));
    EXPECT_EQ(loss, 0) << name_of(context);
  }
}

// Neither batch, slot, memory, nor in place: rows of a batch run one by one give the same bits.
TEST(CrossEntropySpecial, RowsAreTheirOwn) {
  for (const Context& context : contract_contexts())
    for (const DType dtype : logits_dtypes())
      for (Classes c : class_choices(5, 9000, 7, dtype)) {
        if (c.reduction == Reduction::mean) c.normalizer = 3;
        ClassCall all(c, {.grad = dtype});
        all.run(context);
        for (const std::size_t row : {0, 1, 4}) {
          Classes one = c;
          one.logits = {c.logits[row]};
          one.targets = {c.targets[row]};
          if (!c.grad_loss.empty()) one.grad_loss = {c.grad_loss[row]};
          ClassCall alone(one, {.grad = dtype, .in_place = true, .padding = 8, .misalign = 1});
          alone.run(context);
          ASSERT_TRUE(same_row(alone, 0, all, row)) << name_of(context) << " " << row;
        }
      }
}

// One element of any dtype is that number; 0 counts as 1; what no normalizer can be is every row's
// bad parameter, for the host can't see it.
TEST(CrossEntropySpecial, NormalizersAndScalesOnTheDevice) {
  const float f32[] = {3, 0, -1, kNaN};
  const std::int64_t i64[] = {3, -2};
  const double f64[] = {-2.5, HUGE_VAL};
  for (const Context& context : all_contexts())
    for (const float cap : {0.0f, 10.0f}) {
      Classes c = class_batch(4, 300, 9);
      c.softcap = cap;
      const auto run = [&](const PerRow<double>& normalizer, const PerRow<double>& scale) {
        auto call = std::make_unique<ClassCall>(c);
        call->args.normalizer = normalizer;
        call->args.grad_scale = scale;
        call->run(context);
        return call;
      };
      const auto wanted = run(3.0, 1.0);
      EXPECT_TRUE(same_results(*run(Tensor::of(&f32[0], {1}), 1.0), *wanted));
      EXPECT_TRUE(same_results(*run(Tensor::of(&i64[0], {}), 1.0), *wanted));
      EXPECT_TRUE(same_results(*run(Tensor::of(&f32[1], {1}), 1.0), *run(1.0, 1.0)));
      EXPECT_TRUE(same_results(*run(0.0, Tensor::of(&f64[0], {})), *run(0.0, -2.5)));
      for (const auto& bad :
           {run(Tensor::of(&f32[2], {1}), 1.0), run(Tensor::of(&f32[3], {1}), 1.0),
            run(Tensor::of(&i64[1], {1}), 1.0), run(0.0, Tensor::of(&f64[1], {1}))}) {
        EXPECT_TRUE(std::isnan(bad->loss));
        for (const std::size_t i : {0, 2, 3})
          EXPECT_TRUE(bad->status_of(i) == RowStatus::bad_parameter && bad->gradient_is(i, kNaN));
        EXPECT_EQ(bad->status_of(1), RowStatus::ignored);
      }
    }
}

// Every parameter changes the answer (that it is then right the other tests show).
TEST(CrossEntropySpecial, EveryParameterCounts) {
  const std::vector<std::function<void(Classes&)>> changes = {
      [](Classes& c) { c.reduction = Reduction::sum; },
      [](Classes& c) { c.label_smoothing = 0.1f; },
      [](Classes& c) { c.lse_square_scale = 0.1f; },
      [](Classes& c) { c.softcap = 3; },
      [](Classes& c) { c.normalizer = 2; },
      [](Classes& c) { c.ignore_index = c.targets[0]; },
      [](Classes& c) { c.weights = class_weights(300); },
      [](Classes& c) { c.targets[2] = 7; },
      [](Classes& c) { c.vocab_size = 299; },
  };
  for (const Context& context : all_contexts()) {
    const Classes c = class_batch(4, 300, 10);
    ClassCall plain(c);
    plain.run(context);
    for (const auto& change : changes) {
      Classes changed = c;
      change(changed);
      ClassCall got(changed);
      got.run(context);
      EXPECT_NE(got.loss, plain.loss) << name_of(context) << " " << (&change - changes.data());
      EXPECT_FALSE(got.grad.same_bits_as(plain.grad)) << (&change - changes.data());
    }
    // Those of the gradient alone.
    for (const bool by_token : {false, true}) {
      Classes scaled = c;
      scaled.grad_scale = by_token ? 1 : 2;
      if (by_token) scaled.grad_loss.assign(4, 2);
      ClassCall got(scaled);
      got.run(context);
      EXPECT_EQ(got.loss, plain.loss);
      for (std::int64_t j = 0; j < 300; ++j)
        EXPECT_EQ(got.grad.get(2, j), 2 * plain.grad.get(2, j));
    }
  }
}

}  // namespace
}  // namespace logsum::test
