// SPDX-License-Identifier: Apache-2.0
// preference_loss refuses what the host can see to be wrong, by name, and then writes nothing; its
// workspace is as large as it says.
#include <gtest/gtest.h>

#include "support/loss_refusals.hpp"
#include "support/preference_text.hpp"
#include "support/workspaces.hpp"

namespace logsum::test {
namespace {

struct Outputs {
  alignas(256) double loss[1];
  alignas(256) double metrics[kPreferenceMetrics];
  alignas(256) float pair_loss[2];
  alignas(256) float sums[2];
  alignas(256) float rewards[2];
  alignas(256) float logps[3];
  alignas(256) std::int32_t status[3];
  alignas(256) float grad[30];
};

// Valid arguments of two packed sequences, one of two tokens, one of one, with ten columns: kto,
// which has most of the arguments.
struct Call : WithOutputs<Outputs> {
  static constexpr const char* kOperation = "preference_loss";

  // Far apart, so that one moved onto another meets no third.
  alignas(256) float logits[30] = {};
  alignas(256) std::int64_t targets[3] = {1, 2, 3};
  alignas(256) std::int64_t offsets[3] = {0, 2, 3};
  alignas(256) float ref_sums[2] = {};
  alignas(256) float ref_tokens[3] = {};
  alignas(256) float temperature[3] = {1, 1, 1};
  alignas(256) std::uint8_t mask[8] = {1, 1, 1};
  alignas(256) std::uint8_t desirable[8] = {1, 0};
  alignas(256) double kl = 0.5;
  alignas(256) double normalizer = 3;
  alignas(256) double nll_normalizer = 3;
  alignas(256) double grad_scale = 1;
  PreferenceLossArgs args;

  Call() {
    args.logits = Tensor::of(logits, {3, 10});
    args.targets = Tensor::of(targets, {3});
    args.completion_mask = Tensor::of(mask, {3});
    args.cu_seqlens = Tensor::of(offsets, {3});
    args.ref_logps = Tensor::of(ref_sums, {2});
    args.desirable = Tensor::of(desirable, {2});
    args.kl = Tensor::of(&kl, {1});
    args.loss = Tensor::of(out.loss, {1});
    args.metrics = Tensor::of(out.metrics, {kPreferenceMetrics});
    args.per_pair_loss = Tensor::of(out.pair_loss, {2});
    args.sequence_logps = Tensor::of(out.sums, {2});
    args.rewards = Tensor::of(out.rewards, {2});
    args.per_token_logps = Tensor::of(out.logps, {3});
    args.row_status = Tensor::of(out.status, {3});
    args.grad_logits = Tensor::of(out.grad, {3, 10});
    args.temperature = Tensor::of(temperature, {3});
    args.normalizer = Tensor::of(&normalizer, {1});
    args.nll_normalizer = Tensor::of(&nll_normalizer, {1});
    args.grad_scale = Tensor::of(&grad_scale, {1});
    args.options.loss = PreferenceLoss::kto;
  }
  Status run() const { return on::preference_loss(args); }
};

// The reference per token instead.
struct TokensCall : Call {
  TokensCall() {
    args.ref_logps = {};
    args.ref_per_token_logps = Tensor::of(ref_tokens, {3});
  }
};

using A = PreferenceLossArgs;
const std::vector<DType> kIntegers = {DType::i32, DType::i64}, kFlags = {DType::boolean, DType::u8},
                         kFloat = {DType::f32};
const std::vector<Field<Call>> kTokens = {
    {"targets", of<&A::targets>, kIntegers},
    {"completion_mask", of<&A::completion_mask>, kFlags, false, true},
    {"per_token_logps", of<&A::per_token_logps>, kFloat, true},
    {"row_status", of<&A::row_status>, {DType::i32}, true},
    {"temperature", of<&A::temperature>, kFloat},
};
const std::vector<Field<TokensCall>> kReferenceOfTokens = {
    {"ref_per_token_logps", of<&A::ref_per_token_logps>, kFloat}};
const std::vector<Field<Call>> kSequences = {
    {"ref_logps", of<&A::ref_logps>, kFloat},
    {"desirable", of<&A::desirable>, kFlags, false, true},
    {"per_pair_loss", of<&A::per_pair_loss>, kFloat, true},
    {"sequence_logps", of<&A::sequence_logps>, kFloat, true},
    {"rewards", of<&A::rewards>, kFloat, true},
};
// Of one element, whose stride is nobody's.
const std::vector<Field<Call>> kSingles = {
    {"loss", of<&A::loss>, kRealDtypes, false, true},
    {"kl", of<&A::kl>, kRealDtypes, false, true},
    {"normalizer", of<&A::normalizer>, kNumberDtypes, false, true},
    {"nll_normalizer", of<&A::nll_normalizer>, kNumberDtypes, false, true},
    {"grad_scale", of<&A::grad_scale>, kRealDtypes, false, true},
};
const std::vector<Field<Call>> kOthers = {
    {"logits", of<&A::logits>, logits_dtypes()},
    {"cu_seqlens", of<&A::cu_seqlens>, kIntegers},
    {"metrics", of<&A::metrics>, {DType::f64}, true},
};
const std::vector<Field<Call>> kGradient = {{"grad_logits", of<&A::grad_logits>, {}, true}};

TEST(PreferenceLossArguments, ValidOnesPass) {
  expect_valid<Call>();
  expect_valid<TokensCall>();
}

TEST(PreferenceLossArguments, Structure) {
  for (const auto* fields : {&kTokens, &kSequences, &kSingles, &kOthers, &kGradient})
    expect_refused_by_structure(*fields);
  expect_refused_by_structure(kReferenceOfTokens);
}

TEST(PreferenceLossArguments, Dtypes) {
  for (const auto* fields : {&kTokens, &kSequences, &kSingles}) expect_refused_by_dtype(*fields);
  expect_refused_by_dtype(kReferenceOfTokens);
  expect_refused_by_dtype(std::vector{kOthers[1], kOthers[2]});
  expect_gradient_refused_by_dtype<&A::grad_logits, Call>();
}

TEST(PreferenceLossArguments, Rows) {
  expect_refused_by_rows(kTokens, "logits is [3, 10]");
  expect_refused_by_rows(kReferenceOfTokens, "logits is [3, 10]");
  for (const Field<Call>& field : kSequences)
    for (const std::int64_t size : {1, 3}) {
      Call call;
      field.of(call).shape[0] = size;
      expect_refusal(
          call, StatusCode::invalid_argument,
          {std::string(field.name) + " has shape [" + std::to_string(size) + "], must be [2]"});
    }
}

TEST(PreferenceLossArguments, Shapes) {
  expect_refused_by_count(kSingles);
  for (const auto& refusals :
       {refusals_of_rows<A>(), refusals_of_numbers<A>(), refusals_of_sequences<A>()})
    expect_refusals<Call>(refusals);
  expect_refusals<Call, A>({
      {[](A& a) { a.metrics.shape[0] = 6; }, {"metrics has shape [6], must be [7]"}},
      {[](A& a) { a.nll_normalizer = HUGE_VAL; }, {"nll_normalizer is inf, must be finite"}},
      {[](A& a) { a.kl = HUGE_VAL; }, {"kl is inf, must be finite"}},
      {[](A& a) { a.kl = std::nan(""); }, {"kl is", "nan"}},
  });
}

// What a loss has and another has not.
TEST(PreferenceLossArguments, Use) {
  const auto with = [](PreferenceLoss loss) {
    return [=](A& a) {
      a.options.loss = loss;
      a.kl = 0.0;
      a.desirable = {};
      a.per_pair_loss = {};
    };
  };
  expect_refusals<Call, A>({
      {[](A& a) { a.desirable = {}; }, {"desirable is missing: options.loss is kto"}},
      {[](A& a) { a.ref_logps = {}; },
       {"ref_logps is missing: options.loss is kto, which takes it or ref_per_token_logps, unless "
        "options.reference_free is set"}},
      {[](A& a) { a.options.reference_free = true; },
       {"ref_logps is given, must be absent: options.reference_free is set"}},
      {[](A& a) { a.ref_per_token_logps = a.per_token_logps; },
       {"ref_per_token_logps is given, must be absent beside ref_logps"}},
      {[&](A& a) { with(PreferenceLoss::simpo)(a); },
       {"ref_logps is given, must be absent: options.loss is simpo"}},
      {[&](A& a) {
         with(PreferenceLoss::orpo)(a);
         std::swap(a.ref_logps, a.ref_per_token_logps);
       },
       {"ref_per_token_logps is given, must be absent: options.loss is orpo"}},
      {[&](A& a) {
         with(PreferenceLoss::ipo)(a);
         a.ref_logps = {};
       },
       {"ref_logps is missing: options.loss is ipo"}},
      {[](A& a) { a.options.loss = PreferenceLoss::hinge; },
       {"desirable is given, must be absent: options.loss is hinge"}},
      {[&](A& a) {
         with(PreferenceLoss::sigmoid)(a);
         a.kl = 1.0;
       },
       {"kl is given, must be absent or 0: options.loss is sigmoid"}},
      {[&](A& a) {
         const Tensor kl = a.kl.tensor;
         with(PreferenceLoss::sigmoid)(a);
         a.kl = kl;
       },
       {"kl is given, must be absent or 0: options.loss is sigmoid"}},
      // Sequences that aren't pairs.
      {[&](A& a) {
         with(PreferenceLoss::sigmoid)(a);
         a.cu_seqlens.shape[0] = a.cu_seqlens.strides[0] = 2;
       },
       {"cu_seqlens has shape [2], which makes 1 sequences, must be an even number: the chosen, "
        "then "
        "the rejected ones"}},
      {[&](A& a) {
         with(PreferenceLoss::sigmoid)(a);
         a.cu_seqlens = {};
       },
       {"logits has shape [3, 10], which makes 1 sequences, must be an even number: the chosen, "
        "then "
        "the rejected ones"}},
      {[&](A& a) {
         const Tensor losses = a.per_pair_loss;
         with(PreferenceLoss::sigmoid)(a);
         a.per_pair_loss = losses;
       },
       {"per_pair_loss has shape [2], must have one element"}},
  });
}

TEST(PreferenceLossArguments, OptionsOutOfRange) {
  using O = PreferenceOptions;
  const std::vector<float> not_negative = {-1, kNaN, kInf, -kInf};
  expect_options_refused<Call, O>({
      {&O::beta, not_negative, "beta is"},
      {&O::beta, {-1}, "must be in [0, 3.40282e+38]"},
      {&O::label_smoothing, {-0.1f, 1.5f, kNaN, kInf}, "label_smoothing is"},
      {&O::label_smoothing, {1.5f}, "must be in [0, 1]"},
      {&O::gamma, {kNaN, kInf, -kInf}, "gamma is"},
      {&O::desirable_weight, not_negative, "desirable_weight is"},
      {&O::undesirable_weight, not_negative, "undesirable_weight is"},
      {&O::nll_coef, not_negative, "nll_coef is"},
  });
  Call call;
  call.args.options.loss = static_cast<PreferenceLoss>(6);
  expect_refusal(call, StatusCode::invalid_argument, {"options.loss is 6, must be in [0, 5]"});
  call.args.options = {.loss = PreferenceLoss::ipo, .beta = 0};
  expect_refusal(call, StatusCode::invalid_argument,
                 {"options.beta is 0, must be in (0, 3.40282e+38]"});
}

TEST(PreferenceLossArguments, OverlapsAreRefused) {
  const NamedTensors<TokensCall> outputs = {
      {"loss", of<&A::loss, TokensCall>},
      {"per_pair_loss", of<&A::per_pair_loss, TokensCall>},
      {"sequence_logps", of<&A::sequence_logps, TokensCall>},
      {"rewards", of<&A::rewards, TokensCall>},
      {"per_token_logps", of<&A::per_token_logps, TokensCall>},
      {"metrics", of<&A::metrics, TokensCall>},
      {"row_status", of<&A::row_status, TokensCall>},
      {"grad_logits", of<&A::grad_logits, TokensCall>}};
  expect_overlaps_refused<TokensCall>(
      outputs, {{"logits", of<&A::logits, TokensCall>},
                {"targets", of<&A::targets, TokensCall>},
                {"completion_mask", of<&A::completion_mask, TokensCall>},
                {"cu_seqlens", of<&A::cu_seqlens, TokensCall>},
                {"ref_per_token_logps", of<&A::ref_per_token_logps, TokensCall>},
                {"desirable", of<&A::desirable, TokensCall>},
                {"kl", of<&A::kl, TokensCall>},
                {"temperature", of<&A::temperature, TokensCall>},
                {"normalizer", of<&A::normalizer, TokensCall>},
                {"nll_normalizer", of<&A::nll_normalizer, TokensCall>},
                {"grad_scale", of<&A::grad_scale, TokensCall>}});
  expect_overlaps_refused<Call>({{"rewards", of<&A::rewards, Call>}},
                                {{"ref_logps", of<&A::ref_logps, Call>}});
  expect_in_place<Call>();
}

TEST(PreferenceLossArguments, SequencesThatDontRise) {
  for (const std::vector<std::int64_t>& offsets : std::vector<std::vector<std::int64_t>>{
           {1, 2, 3}, {0, -1, 3}, {0, 5, 3}, {0, 2, 1}, {0, 3, INT64_MAX}})
    expect_offsets_refused<Call>(offsets, {"cu_seqlens", "to 3 (N)"});
}

TEST(PreferenceLossArguments, UsesTheWorkspaceItAsksFor) {
  for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto})
    for (const bool is_packed : {false, true}) {
      Preference p = preference_batch({.loss = loss}, 4, 3, 5000, 1);
      if (is_packed) p.offsets = {0, 1, 9, 12, 12};
      expect_workspace_is_enough<PreferenceCall>("preference_loss", p, on::preference_loss,
                                                 on::preference_loss_workspace_size);
    }
}

}  // namespace
}  // namespace logsum::test
