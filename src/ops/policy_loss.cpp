// SPDX-License-Identifier: Apache-2.0
#include "logsum/policy_loss.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "ops/loss_checks.hpp"
#include "ops/policy_loss.hpp"

namespace logsum {
namespace {

Status check_options(const Checker& check, const PolicyOptions& o) noexcept {
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "objective", o.objective, Objective::reinforce));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "ratio_level", o.ratio_level, RatioLevel::sequence));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "aggregation", o.aggregation, Aggregation::constant));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "kl_estimator", o.kl_estimator, KlEstimator::k3_plus));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "cispo_bounds", o.cispo_bounds, CispoBounds::both));
  constexpr double kMost = std::numeric_limits<float>::max();
  const double above_high =
      o.objective == Objective::clip ? 1.0 + static_cast<double>(o.epsilon_high) : 1.0;
  const OptionRange ranges[] = {
      {"epsilon_low", o.epsilon_low, 0, o.objective == Objective::gmpo ? kMost : 1},
      {"epsilon_high", o.epsilon_high, 0, kMost},
      {"delta", o.delta, above_high, kMost, true, true},
      {"dual_clip", o.dual_clip, 1, kMost, true, true},
      {"sapo_tau_pos", o.sapo_tau_pos, 0, kMost, true},
      {"sapo_tau_neg", o.sapo_tau_neg, 0, kMost, true},
      {"vespo_k_pos", o.vespo_k_pos, 0, kMost},
      {"vespo_lambda_pos", o.vespo_lambda_pos, 0, kMost},
      {"vespo_k_neg", o.vespo_k_neg, 0, kMost},
      {"vespo_lambda_neg", o.vespo_lambda_neg, 0, kMost},
      {"log_ratio_clamp", o.log_ratio_clamp, 0, kMost, true, true},
      {"beta", o.beta, 0, kMost},
      {"kl_input_clamp", o.kl_input_clamp, 0, kMost, true, true},
      {"kl_output_clamp", o.kl_output_clamp, 0, kMost, true, true},
      {"entropy_coef", o.entropy_coef, -kMost, kMost},
      {"off_policy_threshold", o.off_policy_threshold, -kMost, kMost, false, true},
  };
  for (const OptionRange& range : ranges) LOGSUM_RETURN_IF_ERROR(check_range(check, range));
  if (o.ratio_level == RatioLevel::sequence &&
      (o.objective == Objective::gmpo || o.objective == Objective::vespo ||
       o.objective == Objective::reinforce))
    return check.invalid(
        "options.ratio_level is sequence, must be token where the objective is gmpo, vespo (they "
        "have their sequence's own) or reinforce (it has no ratio)");
  return {};
}

Status make_plan(const PolicyLossArgs& args, PolicyLossPlan& plan) noexcept {
  const Checker check("policy_loss", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_options(check, args.options));
  plan.options = args.options;
  const bool needs_ref = args.options.beta != 0;
  if (needs_ref && !args.ref_per_token_logps.present())
    return check.invalid("ref_per_token_logps is missing: options.beta is %g",
                         static_cast<double>(args.options.beta));

  SequenceChecks shapes(check, logits, plan);
  LOGSUM_RETURN_IF_ERROR(shapes.sequences(args.cu_seqlens));
  const auto flags = {DType::boolean, DType::u8};
  const auto reals = {DType::f32};
  LOGSUM_RETURN_IF_ERROR(check_rows_of_loss(check, logits, shapes, args, plan));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens_or_sequences("advantages", args.advantages, true, plan.advantages));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("old_per_token_logps", args.old_per_token_logps, reals, plan.old_logps));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("ref_per_token_logps", args.ref_per_token_logps, reals, plan.ref_logps));
  LOGSUM_RETURN_IF_ERROR(shapes.tokens("sampling_per_token_logps", args.sampling_per_token_logps,
                                       reals, plan.sampling_logps));
  LOGSUM_RETURN_IF_ERROR(shapes.tokens_or_sequences("importance_weights", args.importance_weights,
                                                    false, plan.weights));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("entropy_mask", args.entropy_mask, flags, plan.entropy_mask));

  LOGSUM_RETURN_IF_ERROR(
      check_few(check, {"loss", args.loss}, {DType::f32, DType::f64}, 1, Use::output, plan.loss));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_loss", args.per_token_loss, reals, plan.per_token_loss));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_logps", args.per_token_logps, reals, plan.per_token_logps));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_kl", args.per_token_kl, reals, plan.per_token_kl));
  LOGSUM_RETURN_IF_ERROR(shapes.output("entropy", args.entropy, reals, plan.entropy));
  LOGSUM_RETURN_IF_ERROR(check_few(check, {"metrics", args.metrics}, {DType::f64}, kPolicyMetrics,
                                   Use::output, plan.metrics));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("row_status", args.row_status, {DType::i32}, plan.row_status));

  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "normalizer", args.normalizer, plan.normalizer));
  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "entropy_normalizer", args.entropy_normalizer,
                                          plan.entropy_normalizer));
  plan.has_entropy_gradient = args.options.entropy_coef != 0;
  plan.has_entropy = plan.entropy || plan.metrics || plan.has_entropy_gradient;

  const Tensor in_place = same_view(args.grad_logits, args.logits) ? Tensor() : args.logits;
  return check.no_overlap({{"loss", args.loss},
                           {"per_token_loss", args.per_token_loss},
                           {"per_token_logps", args.per_token_logps},
                           {"per_token_kl", args.per_token_kl},
                           {"entropy", args.entropy},
                           {"metrics", args.metrics},
                           {"row_status", args.row_status},
                           {"grad_logits", args.grad_logits}},
                          {{"logits", in_place},
                           {"targets", args.targets},
                           {"advantages", args.advantages},
                           {"completion_mask", args.completion_mask},
                           {"cu_seqlens", args.cu_seqlens},
                           {"old_per_token_logps", args.old_per_token_logps},
                           {"ref_per_token_logps", args.ref_per_token_logps},
                           {"sampling_per_token_logps", args.sampling_per_token_logps},
                           {"importance_weights", args.importance_weights},
                           {"entropy_mask", args.entropy_mask},
                           {"temperature", args.temperature.tensor},
                           {"normalizer", args.normalizer.tensor},
                           {"entropy_normalizer", args.entropy_normalizer.tensor},
                           {"grad_scale", args.grad_scale.tensor}});
}

}  // namespace

Status policy_loss(const PolicyLossArgs& args, const Context& context) noexcept {
  PolicyLossPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace("policy_loss", context, policy_loss_workspace_size(args)));
  return dispatch("policy_loss", &BackendTable::policy_loss, plan, args.logits.device, context);
}

std::size_t policy_loss_workspace_size(const PolicyLossArgs& args) noexcept {
  return loss_workspace_size(args.logits, args.cu_seqlens, args.vocab_size,
                             [](const LossCounts& counts, bool is_cuda) {
                               PolicyRows kept;
                               return kept.lay(nullptr, counts.rows, counts.sequences, is_cuda);
                             });
}

}  // namespace logsum
