// SPDX-License-Identifier: Apache-2.0
#include "logsum/preference_loss.hpp"

#include "capi/convert.hpp"
#include "logsum/c/preference_loss.h"

namespace logsum::capi {
namespace {

PreferenceOptions to_cpp(const logsum_preference_options& c) {
  return {.loss = to_enum<PreferenceLoss>(c.loss),
          .length_average = c.length_average != 0,
          .reference_free = c.reference_free != 0,
          .beta = c.beta,
          .label_smoothing = c.label_smoothing,
          .gamma = c.gamma,
          .desirable_weight = c.desirable_weight,
          .undesirable_weight = c.undesirable_weight,
          .nll_coef = c.nll_coef};
}

logsum_preference_options to_c(const PreferenceOptions& o) {
  logsum_preference_options c;
  c.loss = static_cast<std::int32_t>(o.loss);
  c.length_average = o.length_average;
  c.reference_free = o.reference_free;
  c.beta = o.beta;
  c.label_smoothing = o.label_smoothing;
  c.gamma = o.gamma;
  c.desirable_weight = o.desirable_weight;
  c.undesirable_weight = o.undesirable_weight;
  c.nll_coef = o.nll_coef;
  return c;
}

PreferenceLossArgs to_cpp_args(const logsum_preference_loss_args& c) {
  return {.logits = capi::to_cpp(c.logits),
          .targets = capi::to_cpp(c.targets),
          .completion_mask = capi::to_cpp(c.completion_mask),
          .cu_seqlens = capi::to_cpp(c.cu_seqlens),
          .ref_logps = capi::to_cpp(c.ref_logps),
          .ref_per_token_logps = capi::to_cpp(c.ref_per_token_logps),
          .desirable = capi::to_cpp(c.desirable),
          .kl = capi::to_cpp(c.kl),
          .loss = capi::to_cpp(c.loss),
          .per_pair_loss = capi::to_cpp(c.per_pair_loss),
          .sequence_logps = capi::to_cpp(c.sequence_logps),
          .rewards = capi::to_cpp(c.rewards),
          .per_token_logps = capi::to_cpp(c.per_token_logps),
          .metrics = capi::to_cpp(c.metrics),
          .row_status = capi::to_cpp(c.row_status),
          .grad_logits = capi::to_cpp(c.grad_logits),
          .options = to_cpp(c.options),
          .temperature = capi::to_cpp(c.temperature),
          .normalizer = capi::to_cpp(c.normalizer),
          .nll_normalizer = capi::to_cpp(c.nll_normalizer),
          .grad_scale = capi::to_cpp(c.grad_scale),
          .ignore_index = c.ignore_index,
          .vocab_size = c.vocab_size};
}

logsum_status set_loss_type(logsum_preference_options* options, const char* loss_type) {
  if (options == nullptr)
    return capi::to_c(Status::error(StatusCode::invalid_argument,
                                    "logsum_preference_set_loss_type: options is null"));
  PreferenceOptions changed = to_cpp(*options);
  const Status status = set_preference_loss_type(changed, loss_type);
  if (status.ok()) *options = to_c(changed);
  return capi::to_c(status);
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_preference_loss(const logsum_preference_loss_args* args,
                                     const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_preference_loss", args, logsum_preference_loss_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return preference_loss(capi::to_cpp_args(c), ctx); });
}

size_t logsum_preference_loss_workspace_size(const logsum_preference_loss_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_preference_loss_args_defaults(), [](const auto& c) {
    return preference_loss_workspace_size(capi::to_cpp_args(c));
  });
}

logsum_status logsum_preference_set_loss_type(logsum_preference_options* options,
                                              const char* loss_type) {
  return logsum::capi::set_loss_type(options, loss_type);
}

}  // extern "C"
