// SPDX-License-Identifier: Apache-2.0
#include "logsum/approx_kl.hpp"

#include "capi/convert.hpp"
#include "logsum/c/approx_kl.h"

namespace logsum::capi {
namespace {

ApproxKlArgs to_cpp_args(const logsum_approx_kl_args& c) {
  return {.per_token_logps = to_cpp(c.per_token_logps),
          .ref_per_token_logps = to_cpp(c.ref_per_token_logps),
          .completion_mask = to_cpp(c.completion_mask),
          .k1 = to_cpp(c.k1),
          .k2 = to_cpp(c.k2),
          .k3 = to_cpp(c.k3),
          .mean_k1 = to_cpp(c.mean_k1),
          .mean_k2 = to_cpp(c.mean_k2),
          .mean_k3 = to_cpp(c.mean_k3),
          .count = to_cpp(c.count),
          .overflow_count = to_cpp(c.overflow_count)};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_approx_kl(const logsum_approx_kl_args* args, const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_approx_kl", args, logsum_approx_kl_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return approx_kl(capi::to_cpp_args(c), ctx); });
}

size_t logsum_approx_kl_workspace_size(const logsum_approx_kl_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_approx_kl_args_defaults(), [](const auto& c) {
    return approx_kl_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
