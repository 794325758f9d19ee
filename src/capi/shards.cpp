// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include "capi/convert.hpp"
#include "logsum/c/shards.h"
#include "logsum/draw.hpp"

static_assert(LOGSUM_TILE_COLUMNS == logsum::kTileColumns);
static_assert(LOGSUM_TILE_RECORD_BYTES == sizeof(logsum::TileRecord));
static_assert(LOGSUM_DRAW_CHOICE_BYTES == sizeof(logsum::DrawChoice));

namespace logsum::capi {
namespace {

MeasureArgs to_cpp_args(const logsum_measure_args& c) {
  return {.logits = to_cpp(c.logits),
          .records = to_cpp(c.records),
          .targets = to_cpp(c.targets),
          .target_logits = to_cpp(c.target_logits),
          .temperature = to_cpp(c.temperature),
          .vocab_start = c.vocab_start,
          .vocab_size = c.vocab_size,
          .moment = c.moment != 0};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_measure(const logsum_measure_args* args, const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_measure", args, logsum_measure_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return measure(capi::to_cpp_args(c), ctx); });
}

size_t logsum_measure_workspace_size(const logsum_measure_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_measure_args_defaults(), [](const auto& c) {
    return measure_workspace_size(capi::to_cpp_args(c));
  });
}

logsum_status logsum_merge(const logsum_merge_args* args, const logsum_context* context) {
  using namespace logsum;
  using capi::to_cpp;
  return capi::run(
      "logsum_merge", args, logsum_merge_args_defaults(), context,
      [](const auto& c, const Context& ctx) {
        for (const auto& [name, tensors, count] :
             {std::tuple("shards", c.shards, c.shard_count),
              std::tuple("target_logits", c.target_logits, c.target_logits_count)})
          if (tensors == nullptr && count > 0)
            return Status::error(StatusCode::invalid_argument,
                                 "merge: %s is null, must have %zu tensors", name, count);
        const std::vector<Tensor> shards = to_cpp(c.shards, c.shard_count);
        const std::vector<Tensor> target_logits = to_cpp(c.target_logits, c.target_logits_count);
        return merge({.shards = shards,
                      .vocab_size = c.vocab_size,
                      .targets = to_cpp(c.targets),
                      .target_logits = target_logits,
                      .logprobs = to_cpp(c.logprobs),
                      .ignore_index = c.ignore_index,
                      .lse = to_cpp(c.lse),
                      .entropy = to_cpp(c.entropy),
                      .max = to_cpp(c.max),
                      .argmax = to_cpp(c.argmax),
                      .row_status = to_cpp(c.row_status),
                      .choices = to_cpp(c.choices),
                      .u = to_cpp(c.u),
                      .seed = to_cpp(c.seed),
                      .offset = to_cpp(c.offset),
                      .draws = c.draws,
                      .temperature = to_cpp(c.temperature)},
                     ctx);
      });
}

logsum_status logsum_draw(const logsum_draw_args* args, const logsum_context* context) {
  using namespace logsum;
  using capi::to_cpp;
  return capi::run("logsum_draw", args, logsum_draw_args_defaults(), context,
                   [](const auto& c, const Context& ctx) {
                     return draw({.logits = to_cpp(c.logits),
                                  .choices = to_cpp(c.choices),
                                  .token = to_cpp(c.token),
                                  .logprob = to_cpp(c.logprob),
                                  .token_logit = to_cpp(c.token_logit),
                                  .temperature = to_cpp(c.temperature),
                                  .vocab_start = c.vocab_start,
                                  .vocab_size = c.vocab_size},
                                 ctx);
                   });
}

}  // extern "C"
