// SPDX-License-Identifier: Apache-2.0
// cross_entropy refuses what the host can see to be wrong, by name, and then writes nothing; its
// workspace is as large as it says; targets and outputs of any strides and dimensions.
#include <gtest/gtest.h>

#include "support/cross_entropy.hpp"
#include "support/elsewhere.hpp"
#include "support/loss_refusals.hpp"
#include "support/workspaces.hpp"

namespace logsum::test {
namespace {

struct Outputs {
  alignas(256) double loss[1];
  alignas(256) double z_loss[1];
  alignas(256) float token_loss[3];
  alignas(256) float lse[3];
  alignas(256) std::int32_t status[3];
  alignas(256) float grad[30];
};

struct Call : WithOutputs<Outputs> {
  static constexpr const char* kOperation = "cross_entropy";

  // Far apart, so that one moved onto another meets no third.
  alignas(256) float logits[30] = {};
  alignas(256) std::int64_t targets[3] = {1, 2, 3};
  alignas(256) float weights[10] = {1, 1, 1, 1};
  alignas(256) float grad_loss[3] = {1, 1, 1};
  alignas(256) double normalizer = 3;
  alignas(256) double grad_scale = 1;
  CrossEntropyArgs args;

  Call() {
    args.logits = Tensor::of(logits, {3, 10});
    args.targets = Tensor::of(targets, {3});
    args.class_weights = Tensor::of(weights, {10});
    args.grad_loss = Tensor::of(grad_loss, {3});
    args.loss = Tensor::of(out.loss, {1});
    args.z_loss = Tensor::of(out.z_loss, {1});
    args.per_token_loss = Tensor::of(out.token_loss, {3});
    args.lse = Tensor::of(out.lse, {3});
    args.row_status = Tensor::of(out.status, {3});
    args.grad_logits = Tensor::of(out.grad, {3, 10});
    args.normalizer = Tensor::of(&normalizer, {1});
    args.grad_scale = Tensor::of(&grad_scale, {1});
  }
  Status run() const { return on::cross_entropy(args); }
};

using A = CrossEntropyArgs;
const std::vector<DType> kFloat = {DType::f32};
const std::vector<Field<Call>> kTokens = {
    {"targets", of<&A::targets>, {DType::i32, DType::i64}},
    {"grad_loss", of<&A::grad_loss>, kFloat},
    {"per_token_loss", of<&A::per_token_loss>, kFloat, true},
    {"lse", of<&A::lse>, kFloat, true},
    {"row_status", of<&A::row_status>, {DType::i32}, true},
};
// Of one element, whose stride is nobody's.
const std::vector<Field<Call>> kSingles = {
    {"loss", of<&A::loss>, kRealDtypes, false, true},
    {"z_loss", of<&A::z_loss>, kRealDtypes, false, true},
    {"normalizer", of<&A::normalizer>, kNumberDtypes, false, true},
    {"grad_scale", of<&A::grad_scale>, kRealDtypes, false, true},
};
const std::vector<Field<Call>> kOthers = {{"logits", of<&A::logits>, logits_dtypes()},
                                          {"class_weights", of<&A::class_weights>, kFloat}};
const std::vector<Field<Call>> kGradient = {{"grad_logits", of<&A::grad_logits>, {}, true}};

TEST(CrossEntropyArguments, ValidOnesPass) { expect_valid<Call>(); }

TEST(CrossEntropyArguments, Structure) {
  for (const auto* fields : {&kTokens, &kSingles, &kOthers, &kGradient})
    expect_refused_by_structure(*fields);
}

TEST(CrossEntropyArguments, DtypesAndRows) {
  for (const auto* fields : {&kTokens, &kSingles}) expect_refused_by_dtype(*fields);
  expect_refused_by_dtype(std::vector{kOthers[1]});
  expect_refused_by_rows(kTokens, "logits is [3, 10]");
}

TEST(CrossEntropyArguments, Others) {
  expect_refused_by_count(kSingles);
  expect_gradient_refused_by_dtype<&A::grad_logits, Call>();
  expect_refusals<Call>(refusals_of_rows<A>());
  expect_refusals<Call>(refusals_of_numbers<A>());
  expect_refusals<Call, A>({
      {[](A& a) { a.class_weights.shape[0] = 9; }, {"class_weights has shape [9], must be [10]"}},
      {[](A& a) { a.label_smoothing = 1.5f; }, {"label_smoothing is 1.5, must be in [0, 1]"}},
      {[](A& a) { a.label_smoothing = -0.5f; }, {"label_smoothing is -0.5"}},
      {[](A& a) { a.label_smoothing = kNaN; }, {"label_smoothing is", "nan"}},
      {[](A& a) { a.lse_square_scale = -1; }, {"lse_square_scale is -1, must be finite"}},
      {[](A& a) { a.lse_square_scale = kInf; }, {"lse_square_scale is inf"}},
      {[](A& a) { a.softcap = -30; }, {"softcap is -30, must be in [2^-64, 2^64], or 0 for none"}},
      {[](A& a) { a.softcap = kNaN; }, {"softcap is", "nan"}},
      {[](A& a) { a.softcap = 0x1p65f; }, {"softcap is 3.68935e+19"}},
      {[](A& a) { a.reduction = static_cast<Reduction>(3); },
       {"reduction is 3, must be in [0, 2]"}},
      {[](A& a) { a.reduction = Reduction::sum; },
       {"normalizer is given, must be 0 where reduction isn't mean"}},
      {[](A& a) {
         a.reduction = Reduction::none;
         a.normalizer = 0.0;
       },
       {"loss is given, must be absent where reduction is none: per_token_loss"}},
      {[](A& a) {
         a.reduction = Reduction::none;
         a.normalizer = 0.0;
         a.loss = {};
       },
       {"z_loss is given, must be absent"}},
      {[](A& a) { a.normalizer = 1e-310; }, {"normalizer is 1e-310, must be finite and at least"}},
  });
}

TEST(CrossEntropyArguments, OverlapsAreRefused) {
  expect_overlaps_refused<Call>({{"loss", of<&A::loss, Call>},
                                 {"z_loss", of<&A::z_loss, Call>},
                                 {"per_token_loss", of<&A::per_token_loss, Call>},
                                 {"lse", of<&A::lse, Call>},
                                 {"row_status", of<&A::row_status, Call>},
                                 {"grad_logits", of<&A::grad_logits, Call>}},
                                {{"logits", of<&A::logits, Call>},
                                 {"targets", of<&A::targets, Call>},
                                 {"class_weights", of<&A::class_weights, Call>},
                                 {"grad_loss", of<&A::grad_loss, Call>},
                                 {"normalizer", of<&A::normalizer, Call>},
                                 {"grad_scale", of<&A::grad_scale, Call>}});
  expect_in_place<Call>();
}

TEST(CrossEntropyArguments, UsesTheWorkspaceItAsksFor) {
  for (const Classes& c : class_choices(4, 5000, 1, DType::f32))
    expect_workspace_is_enough<ClassCall>("cross_entropy", c, on::cross_entropy,
                                          on::cross_entropy_workspace_size);
}

// i32 targets, every second element, more dimensions.
TEST(CrossEntropyArguments, AnyStridesAndDimensions) {
  for (const Classes& c : class_choices(6, 300, 2, DType::f32)) {
    ClassCall first(c), got(c);
    first.run();
    std::vector<std::int32_t> targets(12, -5);
    for (std::size_t i = 0; i < 6; ++i) targets[2 * i] = static_cast<std::int32_t>(c.targets[i]);
    std::vector<float> weights(900, kNaN);
    for (std::size_t j = 0; j < c.weights.size(); ++j) weights[3 * j] = c.weights[j];
    got.args.targets = Tensor::of(targets.data(), {6});
    got.args.targets.strides[0] = 2;
    if (!c.weights.empty()) {
      got.args.class_weights.data = weights.data();
      got.args.class_weights.strides[0] = 3;
    }
    for (Tensor* t :
         {&got.args.logits, &got.args.grad_logits, &got.args.targets, &got.args.grad_loss,
          &got.args.per_token_loss, &got.args.lse, &got.args.row_status})
      if (t->present()) split_first_dimension(*t, 2, 3);
    EXPECT_TRUE(same_results(got.run(), first));
  }
}

}  // namespace
}  // namespace logsum::test
