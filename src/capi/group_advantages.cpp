// SPDX-License-Identifier: Apache-2.0
#include "logsum/group_advantages.hpp"

#include "capi/convert.hpp"
#include "logsum/c/group_advantages.h"

namespace logsum::capi {
namespace {

GroupAdvantagesArgs to_cpp_args(const logsum_group_advantages_args& c) {
  return {.rewards = to_cpp(c.rewards),
          .mask = to_cpp(c.mask),
          .advantages = to_cpp(c.advantages),
          .mean = to_cpp(c.mean),
          .std = to_cpp(c.std),
          .group_status = to_cpp(c.group_status),
          .scale = to_enum<AdvantageScale>(c.scale),
          .baseline = to_enum<AdvantageBaseline>(c.baseline),
          .epsilon = c.epsilon};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_group_advantages(const logsum_group_advantages_args* args,
                                      const logsum_context* context) {
  using namespace logsum;
  return capi::run("logsum_group_advantages", args, logsum_group_advantages_args_defaults(),
                   context, [](const auto& c, const Context& ctx) {
                     return group_advantages(capi::to_cpp_args(c), ctx);
                   });
}

size_t logsum_group_advantages_workspace_size(const logsum_group_advantages_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_group_advantages_args_defaults(), [](const auto& c) {
    return group_advantages_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
