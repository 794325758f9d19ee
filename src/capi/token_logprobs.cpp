// SPDX-License-Identifier: Apache-2.0
#include "logsum/token_logprobs.hpp"

#include "capi/convert.hpp"
#include "logsum/c/token_logprobs.h"

namespace logsum::capi {
namespace {

TokenLogprobsArgs to_cpp_args(const logsum_token_logprobs_args& c) {
  return {.logits = to_cpp(c.logits),
          .targets = to_cpp(c.targets),
          .logprobs = to_cpp(c.logprobs),
          .lse = to_cpp(c.lse),
          .entropy = to_cpp(c.entropy),
          .argmax = to_cpp(c.argmax),
          .rank = to_cpp(c.rank),
          .top_ids = to_cpp(c.top_ids),
          .top_logprobs = to_cpp(c.top_logprobs),
          .row_status = to_cpp(c.row_status),
          .temperature = to_cpp(c.temperature),
          .ignore_index = c.ignore_index,
          .vocab_size = c.vocab_size};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_token_logprobs(const logsum_token_logprobs_args* args,
                                    const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_token_logprobs", args, logsum_token_logprobs_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return token_logprobs(capi::to_cpp_args(c), ctx); });
}

size_t logsum_token_logprobs_workspace_size(const logsum_token_logprobs_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_token_logprobs_args_defaults(), [](const auto& c) {
    return token_logprobs_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
