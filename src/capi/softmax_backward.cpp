// SPDX-License-Identifier: Apache-2.0
#include "logsum/softmax_backward.hpp"

#include "capi/convert.hpp"
#include "logsum/c/softmax_backward.h"

namespace logsum::capi {
namespace {

SoftmaxBackwardArgs to_cpp_args(const logsum_softmax_backward_args& c) {
  return {.grad_output = to_cpp(c.grad_output),
          .output = to_cpp(c.output),
          .grad_logits = to_cpp(c.grad_logits),
          .row_status = to_cpp(c.row_status),
          .temperature = to_cpp(c.temperature),
          .dim = c.dim};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_softmax_backward(const logsum_softmax_backward_args* args,
                                      const logsum_context* context) {
  using namespace logsum;
  return capi::run("logsum_softmax_backward", args, logsum_softmax_backward_args_defaults(),
                   context, [](const auto& c, const Context& ctx) {
                     return softmax_backward(capi::to_cpp_args(c), ctx);
                   });
}

logsum_status logsum_log_softmax_backward(const logsum_softmax_backward_args* args,
                                          const logsum_context* context) {
  using namespace logsum;
  return capi::run("logsum_log_softmax_backward", args, logsum_softmax_backward_args_defaults(),
                   context, [](const auto& c, const Context& ctx) {
                     return log_softmax_backward(capi::to_cpp_args(c), ctx);
                   });
}

size_t logsum_softmax_backward_workspace_size(const logsum_softmax_backward_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_softmax_backward_args_defaults(), [](const auto& c) {
    return softmax_backward_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
