// SPDX-License-Identifier: Apache-2.0
// distill_loss refuses what the host can see to be wrong, by name, and then writes nothing; its
// workspace is as large as it says.
#include <gtest/gtest.h>

#include "support/distill.hpp"
#include "support/loss_refusals.hpp"
#include "support/workspaces.hpp"

namespace logsum::test {
namespace {

struct Outputs {
  alignas(256) double loss[1];
  alignas(256) float token_loss[3];
  alignas(256) std::int32_t status[3];
  alignas(256) float grad_student[30];
  alignas(256) float grad_teacher[30];
};

// Valid arguments of three rows of ten columns.
struct Call : WithOutputs<Outputs> {
  static constexpr const char* kOperation = "distill_loss";

  // Far apart, so that one moved onto another meets no third.
  alignas(256) float student[30] = {};
  alignas(256) float teacher[30] = {1};
  alignas(256) std::uint8_t mask[8] = {1, 1, 1};
  alignas(256) float student_temperature[3] = {1, 1, 1};
  alignas(256) float teacher_temperature[3] = {1, 1, 1};
  alignas(256) double normalizer = 3;
  alignas(256) double grad_scale = 1;
  DistillLossArgs args;

  Call() {
    args.student_logits = Tensor::of(student, {3, 10});
    args.teacher_logits = Tensor::of(teacher, {3, 10});
    args.completion_mask = Tensor::of(mask, {3});
    args.loss = Tensor::of(out.loss, {1});
    args.per_token_loss = Tensor::of(out.token_loss, {3});
    args.row_status = Tensor::of(out.status, {3});
    args.grad_student = Tensor::of(out.grad_student, {3, 10});
    args.grad_teacher = Tensor::of(out.grad_teacher, {3, 10});
    args.student_temperature = Tensor::of(student_temperature, {3});
    args.teacher_temperature = Tensor::of(teacher_temperature, {3});
    args.normalizer = Tensor::of(&normalizer, {1});
    args.grad_scale = Tensor::of(&grad_scale, {1});
  }
  Status run() const { return on::distill_loss(args); }
};

using A = DistillLossArgs;

const std::vector<DType> kFloat = {DType::f32};
const std::vector<Field<Call>> kRows = {
    {"completion_mask", of<&A::completion_mask>, {DType::boolean, DType::u8}, false, true},
    {"per_token_loss", of<&A::per_token_loss>, kFloat, true},
    {"row_status", of<&A::row_status>, {DType::i32}, true},
    {"student_temperature", of<&A::student_temperature>, kFloat},
    {"teacher_temperature", of<&A::teacher_temperature>, kFloat},
};
// Of one element, whose stride is nobody's.
const std::vector<Field<Call>> kSingles = {
    {"loss", of<&A::loss>, kRealDtypes, false, true},
    {"normalizer", of<&A::normalizer>, kNumberDtypes, false, true},
    {"grad_scale", of<&A::grad_scale>, kRealDtypes, false, true},
};
const std::vector<Field<Call>> kLogits = {
    {"student_logits", of<&A::student_logits>, logits_dtypes()},
    {"teacher_logits", of<&A::teacher_logits>, logits_dtypes()},
};
const std::vector<Field<Call>> kGradients = {
    {"grad_student", of<&A::grad_student>, {}, true},
    {"grad_teacher", of<&A::grad_teacher>, {}, true},
};

TEST(DistillLossArguments, ValidOnesPass) { expect_valid<Call>(); }

TEST(DistillLossArguments, Structure) {
  for (const auto* fields : {&kRows, &kSingles, &kGradients}) expect_refused_by_structure(*fields);
  expect_refused_by_structure(std::vector{kLogits[1]});
  for (const Fault& fault : faults_of_any_tensor()) {
    Call call;
    fault.spoil(call.args.student_logits);
    SCOPED_TRACE(fault.phrase);
    expect_refusal(call, fault.code, {"student_logits", fault.phrase});
  }
}

TEST(DistillLossArguments, Dtypes) {
  for (const auto* fields : {&kRows, &kSingles}) expect_refused_by_dtype(*fields);
  for (const DType dtype : {DType::f64, DType::i32, DType::u8}) {
    for (const Field<Call>& field : kLogits) {
      Call call;
      field.of(call).dtype = dtype;
      expect_refusal(call, StatusCode::invalid_argument,
                     {std::string(field.name) + " has dtype " + to_string(dtype)});
    }
  }
  expect_gradient_refused_by_dtype<&A::grad_student, Call>("student_");
  expect_gradient_refused_by_dtype<&A::grad_teacher, Call>("teacher_");
}

TEST(DistillLossArguments, Rows) {
  const std::vector<Field<Call>> of_teacher = {kRows.back(), kGradients[1]};
  std::vector<Field<Call>> of_student(kRows.begin(), kRows.end() - 1);
  of_student.insert(of_student.end(), {kGradients[0], kLogits[1]});
  expect_refused_by_rows(of_student, "student_logits is [3, 10]");
  expect_refused_by_rows(of_teacher, "teacher_logits is [3, 10]");
}

TEST(DistillLossArguments, ShapesAndValues) {
  expect_refused_by_count(kSingles);
  expect_refusals<Call>(refusals_of_numbers<A>());
  expect_refusals<Call, A>({
      {[](A& a) { a.student_logits = {}; }, {"student_logits is missing"}},
      {[](A& a) { a.teacher_logits = {}; }, {"teacher_logits is missing"}},
      {[](A& a) { a.teacher_logits.shape[1] = 9; }, {"teacher_logits has shape [3, 9]"}},
      {[](A& a) { a.grad_student.shape[1] = 9; }, {"grad_student has shape [3, 9]"}},
      {[](A& a) { a.grad_teacher.shape[1] = 9; }, {"grad_teacher has shape [3, 9]"}},
      {[](A& a) { a.student_logits.strides[1] = 2; }, {"student_logits has stride 2 along V"}},
      {[](A& a) { a.teacher_logits.strides[1] = 2; }, {"teacher_logits has stride 2 along V"}},
      {[](A& a) { a.grad_student.strides[1] = 2; }, {"grad_student has stride 2 along V"}},
      {[](A& a) { a.divergence = static_cast<Divergence>(3); },
       {"divergence is 3, must be forward_kl (0), reverse_kl (1) or jsd (2)"}},
      {[](A& a) { a.beta = 0; },
       {"beta is 0, must be in [2^-126, 1) for jsd (0: divergence forward_kl)"}},
      {[](A& a) { a.beta = 1; },
       {"beta is 1, must be in [2^-126, 1) for jsd (1: divergence reverse_kl)"}},
      {[](A& a) { a.beta = -0.5f; }, {"beta is -0.5, must be in [2^-126, 1) for jsd"}},
      {[](A& a) { a.beta = 0x1p-127f; }, {"beta is 5.87747e-39, must be"}},
      {[](A& a) { a.beta = kNaN; }, {"beta is", "nan"}},
      {[](A& a) { a.student_temperature = 0.0f; },
       {"student_temperature is 0, must be in [2^-64, 2^64]"}},
      {[](A& a) { a.teacher_temperature = -1.0f; },
       {"teacher_temperature is -1, must be in [2^-64, 2^64]"}},
  });
  // A KL has no beta.
  Call call;
  call.args.divergence = Divergence::forward_kl;
  call.args.beta = kNaN;
  EXPECT_TRUE(call.run().ok()) << call.run().message();
}

TEST(DistillLossArguments, OverlapsAreRefused) {
  expect_overlaps_refused(
      tensors_of_fields<Call>({kSingles[0], kRows[1], kRows[2], kGradients[0], kGradients[1]}),
      tensors_of_fields<Call>(
          {kLogits[0], kLogits[1], kRows[0], kRows[3], kRows[4], kSingles[1], kSingles[2]}));
  Call in_place;
  in_place.args.grad_student = in_place.args.student_logits;
  in_place.args.grad_teacher = in_place.args.teacher_logits;
  EXPECT_TRUE(in_place.run().ok());
  EXPECT_NE(in_place.student[1], 0);
  // One tensor may be both inputs, but then neither's gradient may lie there.
  Call same;
  same.args.teacher_logits = same.args.student_logits;
  EXPECT_TRUE(same.run().ok());
  Call both;
  both.args.teacher_logits = both.args.grad_student = both.args.student_logits;
  expect_refusal(both, StatusCode::invalid_argument,
                 {"output grad_student overlaps input teacher_logits"});
}

TEST(DistillLossArguments, UsesTheWorkspaceItAsksFor) {
  for (const std::int64_t columns : {10, 5000, 20000})
    for (const std::size_t rows : {1, 5}) {
      Distill d;
      d.columns = columns;
      for (std::size_t i = 0; i < rows; ++i) add_random(d, static_cast<std::uint32_t>(i));
      expect_workspace_is_enough<DistillCall>("distill_loss", d, on::distill_loss,
                                              on::distill_loss_workspace_size);
    }
}

}  // namespace
}  // namespace logsum::test
