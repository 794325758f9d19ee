// SPDX-License-Identifier: Apache-2.0
// policy_loss refuses what the host can see to be wrong, by name, and then writes nothing; its
// workspace is as large as it says.
#include <gtest/gtest.h>

#include "support/loss_refusals.hpp"
#include "support/policy_grid.hpp"
#include "support/workspaces.hpp"

namespace logsum::test {
namespace {

struct Outputs {
  alignas(256) double loss[1];
  alignas(256) double metrics[kPolicyMetrics];
  alignas(256) float token_loss[3];
  alignas(256) float logps[3];
  alignas(256) float kl[3];
  alignas(256) float entropy[3];
  alignas(256) std::int32_t status[3];
  alignas(256) float grad[30];
};

// Valid arguments of one packed sequence of three tokens and ten columns.
struct Call : WithOutputs<Outputs> {
  static constexpr const char* kOperation = "policy_loss";

  // Far apart, so that one moved onto another meets no third.
  alignas(256) float logits[30] = {};
  alignas(256) std::int64_t targets[3] = {1, 2, 3};
  alignas(256) std::int64_t offsets[2] = {0, 3};
  alignas(256) float advantages[3] = {1, -1, 2};
  alignas(256) float old[3] = {};
  alignas(256) float ref[3] = {};
  alignas(256) float sampling[3] = {};
  alignas(256) float weights[3] = {1, 1, 1};
  alignas(256) float temperature[3] = {1, 1, 1};
  alignas(256) std::uint8_t mask[8] = {1, 1, 1};
  alignas(256) std::uint8_t entropy_mask[8] = {1, 1, 1};
  alignas(256) double normalizer = 3;
  alignas(256) double entropy_normalizer = 3;
  alignas(256) double grad_scale = 1;
  PolicyLossArgs args;

  Call() {
    args.logits = Tensor::of(logits, {3, 10});
    args.targets = Tensor::of(targets, {3});
    args.advantages = Tensor::of(advantages, {3});
    args.completion_mask = Tensor::of(mask, {3});
    args.cu_seqlens = Tensor::of(offsets, {2});
    args.old_per_token_logps = Tensor::of(old, {3});
    args.ref_per_token_logps = Tensor::of(ref, {3});
    args.sampling_per_token_logps = Tensor::of(sampling, {3});
    args.importance_weights = Tensor::of(weights, {3});
    args.entropy_mask = Tensor::of(entropy_mask, {3});
    args.loss = Tensor::of(out.loss, {1});
    args.metrics = Tensor::of(out.metrics, {kPolicyMetrics});
    args.per_token_loss = Tensor::of(out.token_loss, {3});
    args.per_token_logps = Tensor::of(out.logps, {3});
    args.per_token_kl = Tensor::of(out.kl, {3});
    args.entropy = Tensor::of(out.entropy, {3});
    args.row_status = Tensor::of(out.status, {3});
    args.grad_logits = Tensor::of(out.grad, {3, 10});
    args.temperature = Tensor::of(temperature, {3});
    args.normalizer = Tensor::of(&normalizer, {1});
    args.entropy_normalizer = Tensor::of(&entropy_normalizer, {1});
    args.grad_scale = Tensor::of(&grad_scale, {1});
    args.options.beta = 0.1f;
  }
  Status run() const { return on::policy_loss(args); }
};

using A = PolicyLossArgs;
const std::vector<DType> kIntegers = {DType::i32, DType::i64}, kFlags = {DType::boolean, DType::u8},
                         kFloat = {DType::f32};
// Over tokens.
const std::vector<Field<Call>> kTokens = {
    {"targets", of<&A::targets>, kIntegers},
    {"advantages", of<&A::advantages>, kFloat},
    {"completion_mask", of<&A::completion_mask>, kFlags, false, true},
    {"old_per_token_logps", of<&A::old_per_token_logps>, kFloat},
    {"ref_per_token_logps", of<&A::ref_per_token_logps>, kFloat},
    {"sampling_per_token_logps", of<&A::sampling_per_token_logps>, kFloat},
    {"importance_weights", of<&A::importance_weights>, kFloat},
    {"entropy_mask", of<&A::entropy_mask>, kFlags, false, true},
    {"per_token_loss", of<&A::per_token_loss>, kFloat, true},
    {"per_token_logps", of<&A::per_token_logps>, kFloat, true},
    {"per_token_kl", of<&A::per_token_kl>, kFloat, true},
    {"entropy", of<&A::entropy>, kFloat, true},
    {"row_status", of<&A::row_status>, {DType::i32}, true},
    {"temperature", of<&A::temperature>, kFloat},
};
// Of one element, whose stride is nobody's.
const std::vector<Field<Call>> kSingles = {
    {"loss", of<&A::loss>, kRealDtypes, false, true},
    {"normalizer", of<&A::normalizer>, kNumberDtypes, false, true},
    {"entropy_normalizer", of<&A::entropy_normalizer>, kNumberDtypes, false, true},
    {"grad_scale", of<&A::grad_scale>, kRealDtypes, false, true},
};
const std::vector<Field<Call>> kOthers = {
    {"logits", of<&A::logits>, logits_dtypes()},
    {"cu_seqlens", of<&A::cu_seqlens>, kIntegers},
    {"metrics", of<&A::metrics>, {DType::f64}, true},
};
const std::vector<Field<Call>> kGradient = {{"grad_logits", of<&A::grad_logits>, {}, true}};

TEST(PolicyLossArguments, ValidOnesPass) { expect_valid<Call>(); }

TEST(PolicyLossArguments, Structure) {
  for (const auto* fields : {&kTokens, &kSingles, &kOthers, &kGradient})
    expect_refused_by_structure(*fields);
}

TEST(PolicyLossArguments, Dtypes) {
  for (const auto* fields : {&kTokens, &kSingles}) expect_refused_by_dtype(*fields);
  expect_refused_by_dtype(std::vector{kOthers[1], kOthers[2]});
  expect_gradient_refused_by_dtype<&A::grad_logits, Call>();
}

TEST(PolicyLossArguments, Rows) { expect_refused_by_rows(kTokens, "logits is [3, 10]"); }

TEST(PolicyLossArguments, Shapes) {
  expect_refused_by_count(kSingles);
  for (const auto& refusals :
       {refusals_of_rows<A>(), refusals_of_numbers<A>(), refusals_of_sequences<A>()})
    expect_refusals<Call>(refusals);
  expect_refusals<Call, A>({
      {[](A& a) { a.advantages = {}; }, {"advantages is missing"}},
      {[](A& a) { a.ref_per_token_logps = {}; },
       {"ref_per_token_logps is missing: options.beta is 0.1"}},
      {[](A& a) { a.metrics.shape[0] = 10; }, {"metrics has shape [10], must be [11]"}},
      {[](A& a) { a.entropy_normalizer = std::nan(""); }, {"entropy_normalizer is", "nan"}},
  });
}

TEST(PolicyLossArguments, SequencesThatDontRise) {
  const auto refused = [](std::int64_t first, std::int64_t last, const char* phrase) {
    expect_offsets_refused<Call>({first, last}, {phrase});
  };
  refused(1, 3, "cu_seqlens[0] is 1, must rise from 0 to 3 (N)");
  refused(-1, 3, "cu_seqlens[0] is -1, must rise from 0 to 3 (N)");
  refused(0, 4, "cu_seqlens[1] is 4, must rise from 0 to 3 (N)");
  refused(0, -1, "cu_seqlens[1] is -1, must rise from 0 to 3 (N)");
  refused(0, 2, "cu_seqlens ends at 2, must end at 3 (N)");
  refused(0, INT64_MAX, "cu_seqlens[1] is 9223372036854775807");
}

TEST(PolicyLossArguments, OptionsOutOfRange) {
  const float most = std::numeric_limits<float>::max();
  using O = PolicyOptions;
  const std::vector<float> positive = {0, -1, kNaN, -kInf}, not_negative = {-1, kNaN, kInf, -kInf};
  std::vector<float> positive_finite = positive;
  positive_finite.push_back(kInf);
  const char* any = "must be in [0, 3.40282e+38]";
  const char* above = "must be in (0, 3.40282e+38], or +inf for none";
  expect_options_refused<Call, O>({
      {&O::epsilon_low, {-0.1f, 1.5f, kNaN, kInf}, "epsilon_low is"},
      {&O::epsilon_low, {1.5f}, "must be in [0, 1]"},
      {&O::epsilon_high, not_negative, "epsilon_high is"},
      {&O::epsilon_high, {-1}, any},
      {&O::delta, {1.15f, 1, 0, -1, kNaN, -kInf}, "delta is"},
      {&O::delta, {1}, "must be in (1.2, 3.40282e+38], or +inf for none"},
      {&O::dual_clip, {1, 0, -most, kNaN}, "dual_clip is"},
      {&O::dual_clip, {1}, "must be in (1, 3.40282e+38], or +inf for none"},
      {&O::sapo_tau_pos, positive_finite, "sapo_tau_pos is"},
      {&O::sapo_tau_neg, positive_finite, "sapo_tau_neg is"},
      {&O::sapo_tau_neg, {0}, "must be in (0, 3.40282e+38]"},
      {&O::vespo_k_pos, not_negative, "vespo_k_pos is"},
      {&O::vespo_lambda_pos, not_negative, "vespo_lambda_pos is"},
      {&O::vespo_k_neg, not_negative, "vespo_k_neg is"},
      {&O::vespo_lambda_neg, not_negative, "vespo_lambda_neg is"},
      {&O::log_ratio_clamp, positive, "log_ratio_clamp is"},
      {&O::log_ratio_clamp, positive, above},
      {&O::beta, not_negative, "beta is"},
      {&O::kl_input_clamp, positive, "kl_input_clamp is"},
      {&O::kl_input_clamp, positive, above},
      {&O::kl_output_clamp, positive, "kl_output_clamp is"},
      {&O::entropy_coef, {kNaN, kInf, -kInf}, "entropy_coef is"},
      {&O::off_policy_threshold, {kNaN, -kInf}, "off_policy_threshold is"},
  });
  const auto refused = [](const PolicyOptions& options, const std::string& phrase) {
    Call call;
    call.args.options = options;
    expect_refusal(call, StatusCode::invalid_argument, {phrase});
  };
  refused({.objective = static_cast<Objective>(6)}, "options.objective is 6, must be in [0, 5]");
  refused({.ratio_level = static_cast<RatioLevel>(2)}, "ratio_level is 2, must be in [0, 1]");
  refused({.aggregation = static_cast<Aggregation>(4)}, "aggregation is 4, must be in [0, 3]");
  refused({.kl_estimator = static_cast<KlEstimator>(4)}, "kl_estimator is 4, must be in [0, 3]");
  refused({.cispo_bounds = static_cast<CispoBounds>(2)}, "cispo_bounds is 2, must be in [0, 1]");
  for (const Objective objective : {Objective::gmpo, Objective::vespo, Objective::reinforce})
    refused({.objective = objective, .ratio_level = RatioLevel::sequence},
            "options.ratio_level is sequence, must be token where the objective is gmpo, vespo");
  // What is another objective's bound isn't this one's.
  Call gmpo;
  gmpo.args.options = {.objective = Objective::gmpo, .epsilon_low = 2, .delta = 1.1f};
  EXPECT_TRUE(gmpo.run().ok()) << gmpo.run().message();
}

TEST(PolicyLossArguments, OverlapsAreRefused) {
  NamedTensors<Call> inputs;
  for (const auto* fields : {&kTokens, &kSingles, &kOthers})
    for (const Field<Call>& field : *fields)
      if (!field.output && std::string(field.name) != "loss")
        inputs.emplace_back(field.name, field.of);
  expect_overlaps_refused<Call>({{"loss", of<&A::loss, Call>},
                                 {"per_token_loss", of<&A::per_token_loss, Call>},
                                 {"per_token_logps", of<&A::per_token_logps, Call>},
                                 {"per_token_kl", of<&A::per_token_kl, Call>},
                                 {"entropy", of<&A::entropy, Call>},
                                 {"metrics", of<&A::metrics, Call>},
                                 {"row_status", of<&A::row_status, Call>},
                                 {"grad_logits", of<&A::grad_logits, Call>}},
                                inputs);
  expect_in_place<Call>();
}

TEST(PolicyLossArguments, UsesTheWorkspaceItAsksFor) {
  for (const PolicyOptions& options : policy_objectives())
    for (const bool is_packed : {false, true}) {
      Policy p = policy_batch(options, 3, 4, 5000, 1);
      if (is_packed) p.offsets = {0, 1, 12, 12};
      expect_workspace_is_enough<PolicyCall>("policy_loss", p, on::policy_loss,
                                             on::policy_loss_workspace_size);
    }
}

}  // namespace
}  // namespace logsum::test
