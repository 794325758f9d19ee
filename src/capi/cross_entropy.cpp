// SPDX-License-Identifier: Apache-2.0
#include "logsum/cross_entropy.hpp"

#include "capi/convert.hpp"
#include "logsum/c/cross_entropy.h"

namespace logsum::capi {
namespace {

CrossEntropyArgs to_cpp_args(const logsum_cross_entropy_args& c) {
  return {.logits = to_cpp(c.logits),
          .targets = to_cpp(c.targets),
          .class_weights = to_cpp(c.class_weights),
          .grad_loss = to_cpp(c.grad_loss),
          .loss = to_cpp(c.loss),
          .z_loss = to_cpp(c.z_loss),
          .per_token_loss = to_cpp(c.per_token_loss),
          .lse = to_cpp(c.lse),
          .row_status = to_cpp(c.row_status),
          .grad_logits = to_cpp(c.grad_logits),
          .reduction = to_enum<Reduction>(c.reduction),
          .label_smoothing = c.label_smoothing,
          .lse_square_scale = c.lse_square_scale,
          .softcap = c.softcap,
          .normalizer = to_cpp(c.normalizer),
          .grad_scale = to_cpp(c.grad_scale),
          .ignore_index = c.ignore_index,
          .vocab_size = c.vocab_size};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_cross_entropy(const logsum_cross_entropy_args* args,
                                   const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_cross_entropy", args, logsum_cross_entropy_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return cross_entropy(capi::to_cpp_args(c), ctx); });
}

size_t logsum_cross_entropy_workspace_size(const logsum_cross_entropy_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_cross_entropy_args_defaults(), [](const auto& c) {
    return cross_entropy_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
