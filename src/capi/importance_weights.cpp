// SPDX-License-Identifier: Apache-2.0
#include "logsum/importance_weights.hpp"

#include "capi/convert.hpp"
#include "logsum/c/importance_weights.h"

namespace logsum::capi {
namespace {

ImportanceWeightsArgs to_cpp_args(const logsum_importance_weights_args& c) {
  return {.old_per_token_logps = to_cpp(c.old_per_token_logps),
          .sampling_per_token_logps = to_cpp(c.sampling_per_token_logps),
          .completion_mask = to_cpp(c.completion_mask),
          .cu_seqlens = to_cpp(c.cu_seqlens),
          .weights = to_cpp(c.weights),
          .count = to_cpp(c.count),
          .effective_sample_size = to_cpp(c.effective_sample_size),
          .mean_weight = to_cpp(c.mean_weight),
          .clipped_fraction = to_cpp(c.clipped_fraction),
          .level = to_enum<ImportanceLevel>(c.level),
          .mode = to_enum<ImportanceMode>(c.mode),
          .clip_min = c.clip_min,
          .clip_max = c.clip_max};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_importance_weights(const logsum_importance_weights_args* args,
                                        const logsum_context* context) {
  using namespace logsum;
  return capi::run("logsum_importance_weights", args, logsum_importance_weights_args_defaults(),
                   context, [](const auto& c, const Context& ctx) {
                     return importance_weights(capi::to_cpp_args(c), ctx);
                   });
}

size_t logsum_importance_weights_workspace_size(const logsum_importance_weights_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_importance_weights_args_defaults(), [](const auto& c) {
    return importance_weights_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
