// SPDX-License-Identifier: Apache-2.0
// distill_loss with every output asked for: what a batch is made of, the call in some layout, and
// the comparison of its results to the bit. Outputs hold 99 before the call.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "logsum/distill_loss.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"
#include "support/outputs.hpp"

namespace logsum::test {

// Rows of a student and a teacher. Empty vectors are absent tensors.
struct Distill {
  using Values = std::vector<std::vector<float>>;

  std::int64_t columns = 2;
  DType student_dtype = DType::f32, teacher_dtype = DType::f32;
  Values student, teacher;  // as the dtypes hold them
  std::vector<std::uint8_t> mask;
  Divergence divergence = Divergence::jsd;
  float beta = 0.5f;
  float student_temperature = 1, teacher_temperature = 1;
  std::vector<float> student_temperatures, teacher_temperatures;
  double normalizer = 0, grad_scale = 1;
  std::int64_t vocab_size = 0;

  std::size_t rows() const { return student.size(); }
  bool counts(std::size_t row) const { return mask.empty() || mask[row] != 0; }
  double counted() const {
    double n = 0;
    for (std::size_t i = 0; i < rows(); ++i) n += counts(i);
    return n;
  }
  float student_temperature_of(std::size_t row) const {
    return student_temperatures.empty() ? student_temperature : student_temperatures[row];
  }
  float teacher_temperature_of(std::size_t row) const {
    return teacher_temperatures.empty() ? teacher_temperature : teacher_temperatures[row];
  }

  // A pair, rounded as the dtypes hold it.
  Distill& add(std::vector<float> of_student, std::vector<float> of_teacher) {
    for (float& x : of_student) x = rounded_to(x, student_dtype);
    for (float& x : of_teacher) x = rounded_to(x, teacher_dtype);
    student.push_back(std::move(of_student));
    teacher.push_back(std::move(of_teacher));
    return *this;
  }
  // Row i alone, as a batch of one in which N is the same.
  Distill only(std::size_t i) const {
    Distill one = *this;
    const auto keep = [i](auto& values) {
      if (!values.empty()) values = {values[i]};
    };
    keep(one.student);
    keep(one.teacher);
    keep(one.mask);
    keep(one.student_temperatures);
    keep(one.teacher_temperatures);
    one.normalizer = normalizer != 0 ? normalizer : counted();
    return one;
  }
};

// Two rows that are neither far apart nor the same, at any width.
inline Distill& add_random(Distill& d, std::uint32_t seed) {
  std::vector<float> teacher = gaussian(d.columns, seed, 2.5f, 1.0f), student = teacher;
  const std::vector<float> noise = gaussian(d.columns, seed + 1000, 1.2f, -0.5f);
  for (std::size_t j = 0; j < student.size(); ++j) student[j] += noise[j];
  return d.add(student, teacher);
}

// How the tensors lie.
struct DistillForm {
  bool narrow_gradients = false;  // of their logits' dtypes
  bool student_in_place = false, teacher_in_place = false;
  std::int64_t padding = 0, misalign = 0;  // of rows of logits and gradients
};

// Arguments for a batch and memory of their results; `args` may be changed before a call.
class DistillCall {
 public:
  explicit DistillCall(const Distill& distill, const DistillForm& form = {})
      : d(distill),
        student(make(form, d.student_dtype)),
        teacher(make(form, d.teacher_dtype)),
        grad_student(make(form, form.narrow_gradients ? d.student_dtype : DType::f32)),
        grad_teacher(make(form, form.narrow_gradients ? d.teacher_dtype : DType::f32)),
        token_loss(d.rows(), 99),
        status(d.rows(), 99),
        form_(form) {
    student.set_all(d.student);
    teacher.set_all(d.teacher);
    args.student_logits = student.tensor();
    args.teacher_logits = teacher.tensor();
    if (!d.mask.empty()) args.completion_mask = of_rows(d.mask);
    args.loss = Tensor::of(&loss, {});
    args.per_token_loss = of_rows(token_loss);
    args.row_status = of_rows(status);
    args.grad_student = of_student().tensor();
    args.grad_teacher = of_teacher().tensor();
    args.divergence = d.divergence;
    args.beta = d.beta;
    args.student_temperature = d.student_temperature;
    args.teacher_temperature = d.teacher_temperature;
    if (!d.student_temperatures.empty()) args.student_temperature = of_rows(d.student_temperatures);
    if (!d.teacher_temperatures.empty()) args.teacher_temperature = of_rows(d.teacher_temperatures);
    args.normalizer = d.normalizer;
    args.grad_scale = d.grad_scale;
    args.vocab_size = d.vocab_size;
  }
  DistillCall(const DistillCall&) = delete;
  DistillCall& operator=(const DistillCall&) = delete;

  DistillCall& run(const Context& context = {}) {
    must(on::distill_loss(args, context));
    EXPECT_TRUE(student.canaries_live() && teacher.canaries_live());
    EXPECT_TRUE(grad_student.canaries_live() && grad_teacher.canaries_live());
    return *this;
  }

  Rows& of_student() { return form_.student_in_place ? student : grad_student; }
  Rows& of_teacher() { return form_.teacher_in_place ? teacher : grad_teacher; }
  const Rows& of_student() const { return form_.student_in_place ? student : grad_student; }
  const Rows& of_teacher() const { return form_.teacher_in_place ? teacher : grad_teacher; }
  RowStatus status_of(std::size_t row) const { return static_cast<RowStatus>(status[row]); }

  Distill d;
  Rows student, teacher, grad_student, grad_teacher;
  double loss = 99;
  std::vector<float> token_loss;
  std::vector<std::int32_t> status;
  DistillLossArgs args;

 private:
  Rows make(const DistillForm& form, DType dtype) const {
    const Layout layout{
        "rows", -1, [form](std::int64_t rows, std::int64_t columns) {
          return Layout::Place{{rows, columns}, {columns + form.padding, 1}, form.misalign};
        }};
    return Rows(layout, std::int64_t(d.rows()), d.columns, dtype);
  }
  template <class T>
  Tensor of_rows(const std::vector<T>& values) const {
    EXPECT_EQ(values.size(), d.rows());
    return Tensor::of(values.data(), {std::int64_t(d.rows())});
  }

  DistillForm form_;
};

inline bool gradient_is(const Rows& gradient, std::size_t row, float value) {
  for (const float x : gradient.row(std::int64_t(row)))
    if (std::isnan(value) ? !std::isnan(x) : x != value) return false;
  return true;
}

// Row i of a call and row j of another: all that is the row's own, to the bit.
inline ::testing::AssertionResult same_row(const DistillCall& a, std::size_t i,
                                           const DistillCall& b, std::size_t j) {
  const char* differs = nullptr;
  const auto same = [&](const Rows& x, const Rows& y) {
    for (std::int64_t k = 0; k < std::min(x.columns(), y.columns()); ++k)
      if (!same_bits(x.get(std::int64_t(i), k), y.get(std::int64_t(j), k))) return false;
    return true;
  };
  if (!same_bits(a.token_loss[i], b.token_loss[j])) differs = "per_token_loss";
  if (a.status[i] != b.status[j]) differs = "row_status";
  if (!same(a.of_student(), b.of_student())) differs = "grad_student";
  if (!same(a.of_teacher(), b.of_teacher())) differs = "grad_teacher";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_results(const DistillCall& a, const DistillCall& b) {
  for (std::size_t i = 0; i < a.d.rows(); ++i)
    if (auto same = same_row(a, i, b, i); !same) return same;
  if (std::memcmp(&a.loss, &b.loss, sizeof a.loss) == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "loss is " << a.loss << " and " << b.loss;
}

}  // namespace logsum::test
