// SPDX-License-Identifier: Apache-2.0
// distill_loss against its text (support/distill_text.hpp): the reference's gradients against
// differences of the divergence, every backend's results within the contract, at all widths and
// dtypes and of nearly equal rows.
#include "logsum/distill_loss.hpp"

#include <gtest/gtest.h>

#include "support/distill_text.hpp"

namespace logsum::test {
namespace {

constexpr Divergence kDivergences[] = {Divergence::forward_kl, Divergence::reverse_kl,
                                       Divergence::jsd};

Distill batch(Divergence divergence, std::int64_t columns, std::size_t rows, std::uint32_t seed) {
  Distill d;
  d.columns = columns;
  d.divergence = divergence;
  d.beta = 0.3f;
  d.student_temperature = 0.8f;
  d.teacher_temperature = 1.7f;
  for (std::size_t i = 0; i < rows; ++i) add_random(d, seed + static_cast<std::uint32_t>(i));
  return d;
}

std::string name_of(const Distill& d) {
  return "divergence " + std::to_string(int(d.divergence)) + ", beta " + std::to_string(d.beta) +
         ", " + std::to_string(d.columns) + " columns";
}

// The derivative of a row's divergence as one logit moves.
template <class At>
double difference(const At& at) {
  constexpr Real kStep = 1e-4L;
  return static_cast<double>((at(kStep) - at(-kStep)) / (2 * kStep));
}

TEST(DistillLoss, ReferenceIsTheDerivativeOfTheText) {
  for (const Divergence divergence : kDivergences)
    for (const float beta : {0.01f, 0.5f, 0.9f}) {
      Distill d = batch(divergence, 7, 3, 5);
      d.beta = beta;
      d.mask = {1, 0, 1};
      d.grad_scale = 3;
      d.normalizer = 7;
      SCOPED_TRACE(name_of(d));
      DistillCall call(d);
      call.run(kReference);
      for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
        const std::vector<Real> student =
            DistillText::scaled(d, d.student[i], d.student_temperature_of(i));
        const std::vector<Real> teacher =
            DistillText::scaled(d, d.teacher[i], d.teacher_temperature_of(i));
        for (std::size_t j = 0; j < 7; ++j) {
          const auto as_student_moves = [&](Real by) {
            std::vector<Real> moved = student;
            moved[j] += by / static_cast<Real>(d.student_temperature);
            return DistillText(d, i, moved, teacher).value();
          };
          const auto as_teacher_moves = [&](Real by) {
            std::vector<Real> moved = teacher;
            moved[j] += by / static_cast<Real>(d.teacher_temperature);
            return DistillText(d, i, student, moved).value();
          };
          const auto at = [&](const Rows& rows) {
            return static_cast<double>(rows.get(std::int64_t(i), std::int64_t(j)));
          };
          EXPECT_NEAR(at(call.grad_student), 3.0 / 7 * difference(as_student_moves), 3e-8);
          EXPECT_NEAR(at(call.grad_teacher), 3.0 / 7 * difference(as_teacher_moves), 3e-8);
        }
      }
    }
}

TEST(DistillLoss, KeepsItsContractAtAllWidths) {
  std::uint32_t seed = 0;
  for (const std::int64_t columns : widths())
    for (const Divergence divergence : kDivergences) {
      Distill d = batch(divergence, columns, columns > 9000 ? 1 : 3, ++seed);
      SCOPED_TRACE(name_of(d));
      DistillCall first(d);
      first.run(fast_contexts()[0]);
      expect_text(first);
      for (const Context& context : contract_contexts()) {
        SCOPED_TRACE(test::name_of(context));
        DistillCall call(d);
        call.run(context);
        if (has_cpu_bits(context))
          EXPECT_TRUE(same_results(call, first));
        else
          expect_text(call);
      }
      DistillCall reference(d);
      expect_text(reference.run(kReference));
      if (HasFailure()) return;
    }
}

TEST(DistillLoss, OfAnyTwoDtypesAndTheirGradients) {
  for (const DType student : logits_dtypes())
    for (const DType teacher : logits_dtypes())
      for (const Divergence divergence : kDivergences) {
        Distill d;
        d.columns = 5000;
        d.divergence = divergence;
        d.student_dtype = student;
        d.teacher_dtype = teacher;
        add_random(add_random(d, 3), 4);
        SCOPED_TRACE(name_of(d));
        DistillCall first(d, {.narrow_gradients = true});
        first.run();
        expect_text(first);
        for (const Context& context : contract_contexts()) {
          SCOPED_TRACE(test::name_of(context));
          DistillCall call(d, {.narrow_gradients = true});
          call.run(context);
          if (has_cpu_bits(context))
            EXPECT_TRUE(same_results(call, first));
          else
            expect_text(call, bounds_of(d, context));
        }
        if (HasFailure()) return;
      }
}

// A narrow row and the same as f32 have the same loss, whatever the other's dtype is.
TEST(DistillLoss, KnowsLogitsNotDtypes) {
  for (const DType narrow : {DType::f16, DType::bf16}) {
    Distill d;
    d.columns = 4500;
    d.student_dtype = d.teacher_dtype = narrow;
    add_random(d, 8);
    DistillCall call(d);
    call.run();
    d.student_dtype = DType::f32;
    DistillCall half(d);
    EXPECT_TRUE(same_results(half.run(), call));
    d.teacher_dtype = DType::f32;
    DistillCall full(d);
    EXPECT_TRUE(same_results(full.run(), call));
  }
}

TEST(DistillLoss, OfAnyBeta) {
  for (const float beta : {0x1p-126f, 1e-6f, 1e-3f, 0.1f, 0.5f, 0.75f, 0.999f, 0x1.fffffep-1f}) {
    Distill d = batch(Divergence::jsd, 3000, 3, 17);
    d.beta = beta;
    SCOPED_TRACE(name_of(d));
    for (const Context& context : {fast_contexts().back(), kReference}) {
      DistillCall call(d);
      expect_text(call.run(context));
    }
  }
}

TEST(DistillLoss, EqualRowsGiveExactlyZero) {
  for (const Divergence divergence : kDivergences)
    for (const DType dtype : logits_dtypes()) {
      Distill d;
      d.columns = 4200;
      d.divergence = divergence;
      d.student_dtype = d.teacher_dtype = dtype;
      d.student_temperature = d.teacher_temperature = 0.7f;
      for (const auto& z : healthy_values(d.columns, dtype))
        if (*std::max_element(z.begin(), z.end()) < kInf) d.add(z, z);  // of f16
      for (const Context& context : contract_contexts()) {
        DistillCall call(d);
        call.run(context);
        EXPECT_EQ(call.loss, 0) << test::name_of(context);
        for (std::size_t i = 0; i < d.rows(); ++i) {
          EXPECT_EQ(call.status_of(i), RowStatus::ok) << i;
          EXPECT_EQ(call.token_loss[i], 0.0f) << i;
          EXPECT_TRUE(gradient_is(call.grad_student, i, 0.0f)) << i;
          EXPECT_TRUE(gradient_is(call.grad_teacher, i, 0.0f)) << i;
        }
      }
    }
}

// The difference of two sums would have nothing left at 1e-7.
TEST(DistillLoss, OfNearlyEqualRows) {
  for (const Divergence divergence : kDivergences)
    for (const float noise : {0.3f, 3e-2f, 1e-3f, 1e-4f, 1e-5f})
      for (const float shift : {0.0f, 37.5f}) {
        Distill d;
        d.columns = 20000;
        d.divergence = divergence;
        const std::vector<float> teacher = gaussian(d.columns, 5, 2.0f, 3.0f);
        const std::vector<float> by = gaussian(d.columns, 6, noise, shift);
        std::vector<float> student = teacher;
        for (std::size_t j = 0; j < student.size(); ++j) student[j] += by[j];
        d.add(student, teacher);
        SCOPED_TRACE(name_of(d) + ", noise " + std::to_string(noise));
        const auto truth = static_cast<double>(DistillText(d, 0).value());
        EXPECT_GT(truth, 0.05 * double(noise) * double(noise));
        for (const Context& context : contract_contexts()) {
          DistillCall call(d);
          call.run(context);
          expect_text(call);
          // What the contract doesn't promise: errors of columns are independent.
          EXPECT_NEAR(call.loss, truth, truth * (noise > 5e-5f ? 1e-3 : 2e-2));
        }
      }
}

// At temperatures in proportion to the logits the rows are equal.
TEST(DistillLoss, TemperaturesAreEachTheirOwn) {
  for (const Divergence divergence : kDivergences) {
    Distill d;
    d.columns = 3000;
    d.divergence = divergence;
    d.student_temperature = 3;
    d.teacher_temperature = 0.75f;
    const std::vector<float> z = gaussian(d.columns, 5, 2.0f, 3.0f);
    std::vector<float> quarter = z;
    for (float& x : quarter) x *= 0.25f;
    d.add(z, quarter);
    for (const Context& context : fast_contexts()) {
      DistillCall call(d);
      EXPECT_NEAR(call.run(context).loss, 0, 1e-13);
    }
  }
}

}  // namespace
}  // namespace logsum::test
