// SPDX-License-Identifier: Apache-2.0
#include "logsum/policy_loss.hpp"

#include "capi/convert.hpp"
#include "logsum/c/policy_loss.h"

namespace logsum::capi {
namespace {

PolicyOptions to_cpp(const logsum_policy_options& c) {
  return {.objective = to_enum<Objective>(c.objective),
          .ratio_level = to_enum<RatioLevel>(c.ratio_level),
          .aggregation = to_enum<Aggregation>(c.aggregation),
          .epsilon_low = c.epsilon_low,
          .epsilon_high = c.epsilon_high,
          .delta = c.delta,
          .dual_clip = c.dual_clip,
          .cispo_bounds = to_enum<CispoBounds>(c.cispo_bounds),
          .sapo_tau_pos = c.sapo_tau_pos,
          .sapo_tau_neg = c.sapo_tau_neg,
          .vespo_k_pos = c.vespo_k_pos,
          .vespo_lambda_pos = c.vespo_lambda_pos,
          .vespo_k_neg = c.vespo_k_neg,
          .vespo_lambda_neg = c.vespo_lambda_neg,
          .log_ratio_clamp = c.log_ratio_clamp,
          .beta = c.beta,
          .kl_estimator = to_enum<KlEstimator>(c.kl_estimator),
          .use_bias_correction_kl = c.use_bias_correction_kl != 0,
          .kl_input_clamp = c.kl_input_clamp,
          .kl_output_clamp = c.kl_output_clamp,
          .entropy_coef = c.entropy_coef,
          .off_policy_threshold = c.off_policy_threshold,
          .count_empty_sequences = c.count_empty_sequences != 0};
}

logsum_policy_options to_c(const PolicyOptions& o) {
  logsum_policy_options c;
  c.objective = static_cast<std::int32_t>(o.objective);
  c.ratio_level = static_cast<std::int32_t>(o.ratio_level);
  c.aggregation = static_cast<std::int32_t>(o.aggregation);
  c.kl_estimator = static_cast<std::int32_t>(o.kl_estimator);
  c.cispo_bounds = static_cast<std::int32_t>(o.cispo_bounds);
  c.use_bias_correction_kl = o.use_bias_correction_kl;
  c.count_empty_sequences = o.count_empty_sequences;
  c.epsilon_low = o.epsilon_low;
  c.epsilon_high = o.epsilon_high;
  c.delta = o.delta;
  c.dual_clip = o.dual_clip;
  c.sapo_tau_pos = o.sapo_tau_pos;
  c.sapo_tau_neg = o.sapo_tau_neg;
  c.vespo_k_pos = o.vespo_k_pos;
  c.vespo_lambda_pos = o.vespo_lambda_pos;
  c.vespo_k_neg = o.vespo_k_neg;
  c.vespo_lambda_neg = o.vespo_lambda_neg;
  c.log_ratio_clamp = o.log_ratio_clamp;
  c.beta = o.beta;
  c.kl_input_clamp = o.kl_input_clamp;
  c.kl_output_clamp = o.kl_output_clamp;
  c.entropy_coef = o.entropy_coef;
  c.off_policy_threshold = o.off_policy_threshold;
  return c;
}

PolicyLossArgs to_cpp_args(const logsum_policy_loss_args& c) {
  return {.logits = capi::to_cpp(c.logits),
          .targets = capi::to_cpp(c.targets),
          .advantages = capi::to_cpp(c.advantages),
          .completion_mask = capi::to_cpp(c.completion_mask),
          .cu_seqlens = capi::to_cpp(c.cu_seqlens),
          .old_per_token_logps = capi::to_cpp(c.old_per_token_logps),
          .ref_per_token_logps = capi::to_cpp(c.ref_per_token_logps),
          .sampling_per_token_logps = capi::to_cpp(c.sampling_per_token_logps),
          .importance_weights = capi::to_cpp(c.importance_weights),
          .entropy_mask = capi::to_cpp(c.entropy_mask),
          .loss = capi::to_cpp(c.loss),
          .per_token_loss = capi::to_cpp(c.per_token_loss),
          .per_token_logps = capi::to_cpp(c.per_token_logps),
          .per_token_kl = capi::to_cpp(c.per_token_kl),
          .entropy = capi::to_cpp(c.entropy),
          .metrics = capi::to_cpp(c.metrics),
          .row_status = capi::to_cpp(c.row_status),
          .grad_logits = capi::to_cpp(c.grad_logits),
          .options = to_cpp(c.options),
          .temperature = capi::to_cpp(c.temperature),
          .normalizer = capi::to_cpp(c.normalizer),
          .entropy_normalizer = capi::to_cpp(c.entropy_normalizer),
          .grad_scale = capi::to_cpp(c.grad_scale),
          .ignore_index = c.ignore_index,
          .vocab_size = c.vocab_size};
}

// Runs `set` on options that the caller has.
template <class Set>
logsum_status change(const char* function, logsum_policy_options* options, const Set& set) {
  if (options == nullptr)
    return capi::to_c(Status::error(StatusCode::invalid_argument, "%s: options is null", function));
  PolicyOptions changed = to_cpp(*options);
  const Status status = set(changed);
  if (status.ok()) *options = to_c(changed);
  return capi::to_c(status);
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_policy_loss(const logsum_policy_loss_args* args,
                                 const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_policy_loss", args, logsum_policy_loss_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return policy_loss(capi::to_cpp_args(c), ctx); });
}

size_t logsum_policy_loss_workspace_size(const logsum_policy_loss_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_policy_loss_args_defaults(), [](const auto& c) {
    return policy_loss_workspace_size(capi::to_cpp_args(c));
  });
}

logsum_status logsum_policy_set_loss_type(logsum_policy_options* options, const char* loss_type) {
  using namespace logsum;
  return capi::change("logsum_policy_set_loss_type", options,
                      [&](PolicyOptions& o) { return set_loss_type(o, loss_type); });
}

logsum_status logsum_policy_set_compat(logsum_policy_options* options, int32_t compat) {
  using namespace logsum;
  return capi::change("logsum_policy_set_compat", options, [&](PolicyOptions& o) {
    return set_compat(o, capi::to_enum<Compat>(compat));
  });
}

}  // extern "C"
