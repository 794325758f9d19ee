// SPDX-License-Identifier: Apache-2.0
#include "logsum/sample.hpp"

#include "capi/convert.hpp"
#include "logsum/c/sample.h"

namespace logsum::capi {
namespace {

SampleArgs to_cpp_args(const logsum_sample_args& c) {
  return {.logits = to_cpp(c.logits),
          .indices = to_cpp(c.indices),
          .token = to_cpp(c.token),
          .logprob = to_cpp(c.logprob),
          .raw_logprob = to_cpp(c.raw_logprob),
          .lse = to_cpp(c.lse),
          .entropy = to_cpp(c.entropy),
          .row_status = to_cpp(c.row_status),
          .temperature = to_cpp(c.temperature),
          .u = to_cpp(c.u),
          .seed = to_cpp(c.seed),
          .offset = to_cpp(c.offset),
          .draws = c.draws,
          .vocab_size = c.vocab_size};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_sample(const logsum_sample_args* args, const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_sample", args, logsum_sample_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return sample(capi::to_cpp_args(c), ctx); });
}

size_t logsum_sample_workspace_size(const logsum_sample_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_sample_args_defaults(), [](const auto& c) {
    return sample_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
