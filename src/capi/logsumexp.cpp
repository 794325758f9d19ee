// SPDX-License-Identifier: Apache-2.0
#include "logsum/logsumexp.hpp"

#include "capi/convert.hpp"
#include "logsum/c/logsumexp.h"

namespace logsum::capi {
namespace {

LogsumexpArgs to_cpp_args(const logsum_logsumexp_args& c) {
  return {.logits = to_cpp(c.logits),
          .lse = to_cpp(c.lse),
          .row_status = to_cpp(c.row_status),
          .temperature = to_cpp(c.temperature),
          .dim = c.dim};
}

LogsumexpBackwardArgs to_cpp_args(const logsum_logsumexp_backward_args& c) {
  return {.grad_output = to_cpp(c.grad_output),
          .lse = to_cpp(c.lse),
          .logits = to_cpp(c.logits),
          .grad_logits = to_cpp(c.grad_logits),
          .temperature = to_cpp(c.temperature),
          .dim = c.dim};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_logsumexp(const logsum_logsumexp_args* args, const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_logsumexp", args, logsum_logsumexp_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return logsumexp(capi::to_cpp_args(c), ctx); });
}

size_t logsum_logsumexp_workspace_size(const logsum_logsumexp_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_logsumexp_args_defaults(), [](const auto& c) {
    return logsumexp_workspace_size(capi::to_cpp_args(c));
  });
}

logsum_status logsum_logsumexp_backward(const logsum_logsumexp_backward_args* args,
                                        const logsum_context* context) {
  using namespace logsum;
  return capi::run("logsum_logsumexp_backward", args, logsum_logsumexp_backward_args_defaults(),
                   context, [](const auto& c, const Context& ctx) {
                     return logsumexp_backward(capi::to_cpp_args(c), ctx);
                   });
}

size_t logsum_logsumexp_backward_workspace_size(const logsum_logsumexp_backward_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_logsumexp_backward_args_defaults(), [](const auto& c) {
    return logsumexp_backward_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
