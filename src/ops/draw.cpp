// SPDX-License-Identifier: Apache-2.0
#include "logsum/draw.hpp"

#include "core/backend.hpp"
#include "ops/shards.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

Status make_plan(const DrawArgs& args, DrawPlan& plan) noexcept {
  const Checker check("draw", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_vocab_start(check, args.vocab_start));
  plan.vocab_start = args.vocab_start;
  const int leading = args.logits.rank - 1;
  LOGSUM_RETURN_IF_ERROR(
      check_structs(check, {"choices", args.choices}, logits, leading, -1, false, plan.choices));
  if (plan.choices.count < 1)
    return check.invalid("choices has shape %s, n must be at least 1",
                         describe_shape(args.choices).s);
  const auto output = [&](const char* name, const Tensor& tensor,
                          std::initializer_list<DType> dtypes, bool required, ElementsView& view) {
    return check.elements(
        {name, tensor}, logits, leading,
        {.dtypes = dtypes, .inner = plan.choices.count, .required = required, .output = true},
        view);
  };
  LOGSUM_RETURN_IF_ERROR(output("token", args.token, {DType::i32, DType::i64}, true, plan.token));
  LOGSUM_RETURN_IF_ERROR(output("logprob", args.logprob, {DType::f32}, false, plan.logprob));
  LOGSUM_RETURN_IF_ERROR(
      output("token_logit", args.token_logit, {DType::f32}, false, plan.token_logit));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, logits, leading,
                                           ZeroTemperature::is_greedy, plan.temperature));
  return check.no_overlap(
      {{"token", args.token}, {"logprob", args.logprob}, {"token_logit", args.token_logit}},
      {logits, {"choices", args.choices}, {"temperature", args.temperature.tensor}});
}

}  // namespace

Status draw(const DrawArgs& args, const Context& context) noexcept {
  DrawPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  if (plan.logits.rows == 0) return {};
  return dispatch("draw", &BackendTable::draw, plan, args.logits.device, context);
}

}  // namespace logsum
