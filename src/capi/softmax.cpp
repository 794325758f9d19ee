// SPDX-License-Identifier: Apache-2.0
#include "logsum/softmax.hpp"

#include "capi/convert.hpp"
#include "logsum/c/softmax.h"

namespace logsum::capi {
namespace {

SoftmaxArgs to_cpp_args(const logsum_softmax_args& c) {
  return {.logits = to_cpp(c.logits),
          .output = to_cpp(c.output),
          .row_status = to_cpp(c.row_status),
          .temperature = to_cpp(c.temperature),
          .dim = c.dim};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_softmax(const logsum_softmax_args* args, const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_softmax", args, logsum_softmax_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return softmax(capi::to_cpp_args(c), ctx); });
}

logsum_status logsum_log_softmax(const logsum_softmax_args* args, const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_log_softmax", args, logsum_softmax_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return log_softmax(capi::to_cpp_args(c), ctx); });
}

size_t logsum_softmax_workspace_size(const logsum_softmax_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_softmax_args_defaults(), [](const auto& c) {
    return softmax_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
