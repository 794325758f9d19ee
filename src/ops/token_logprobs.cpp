// SPDX-License-Identifier: Apache-2.0
#include "logsum/token_logprobs.hpp"

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/measure.hpp"
#include "core/workspace.hpp"
#include "ops/temperature.hpp"
#include "ops/token_logprobs.hpp"

namespace logsum {
namespace {

Status make_plan(const TokenLogprobsArgs& args, TokenLogprobsPlan& plan) noexcept {
  const Checker check("token_logprobs", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  const int leading = args.logits.rank - 1;

  if (args.targets.present() != args.logprobs.present())
    return check.invalid("%s is missing: targets and logprobs go together",
                         args.targets.present() ? "logprobs" : "targets");
  if (args.rank.present() && !args.targets.present())
    return check.invalid("targets is missing: rank is the rank of a target");
  if (args.targets.present()) LOGSUM_RETURN_IF_ERROR(check.tensor({"targets", args.targets}));
  const bool many = args.targets.rank > leading;
  const std::int64_t inner = many ? args.targets.dim(-1) : 0;
  if (many && inner == 0)
    return check.invalid("targets has shape %s, K must be at least 1",
                         describe_shape(args.targets).s);
  plan.targets_per_row = args.targets.present() ? std::max<std::int64_t>(inner, 1) : 0;

  const auto integers = {DType::i32, DType::i64};
  const auto element = [&](const char* name, const Tensor& tensor,
                           std::initializer_list<DType> dtypes, std::int64_t size, bool output,
                           ElementsView& view) {
    return check.elements({name, tensor}, logits, leading,
                          {.dtypes = dtypes, .inner = size, .output = output}, view);
  };
  LOGSUM_RETURN_IF_ERROR(element("targets", args.targets, integers, inner, false, plan.targets));
  LOGSUM_RETURN_IF_ERROR(
      element("logprobs", args.logprobs, {DType::f32}, inner, true, plan.logprobs));
  LOGSUM_RETURN_IF_ERROR(element("rank", args.rank, integers, inner, true, plan.rank));
  LOGSUM_RETURN_IF_ERROR(element("lse", args.lse, {DType::f32}, 0, true, plan.lse));
  LOGSUM_RETURN_IF_ERROR(element("entropy", args.entropy, {DType::f32}, 0, true, plan.entropy));
  LOGSUM_RETURN_IF_ERROR(element("argmax", args.argmax, integers, 0, true, plan.argmax));
  LOGSUM_RETURN_IF_ERROR(
      element("row_status", args.row_status, {DType::i32}, 0, true, plan.row_status));

  const Tensor& top = args.top_ids.present() ? args.top_ids : args.top_logprobs;
  if (top.present()) {
    const char* name = args.top_ids.present() ? "top_ids" : "top_logprobs";
    LOGSUM_RETURN_IF_ERROR(check.tensor({name, top}));
    plan.top_n = top.rank > 0 ? top.dim(-1) : 0;
    if (plan.top_n < 1 || plan.top_n > plan.logits.columns)
      return check.invalid("%s has shape %s, N must be in [1, %lld] (the vocabulary)", name,
                           describe_shape(top).s, static_cast<long long>(plan.logits.columns));
  }
  LOGSUM_RETURN_IF_ERROR(
      element("top_ids", args.top_ids, integers, plan.top_n, true, plan.top_ids));
  LOGSUM_RETURN_IF_ERROR(element("top_logprobs", args.top_logprobs, {DType::f32}, plan.top_n, true,
                                 plan.top_logprobs));

  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, logits, leading,
                                           ZeroTemperature::refused, plan.temperature));
  plan.ignore_index = args.ignore_index;

  return check.no_overlap(
      {{"logprobs", args.logprobs},
       {"lse", args.lse},
       {"entropy", args.entropy},
       {"argmax", args.argmax},
       {"rank", args.rank},
       {"top_ids", args.top_ids},
       {"top_logprobs", args.top_logprobs},
       {"row_status", args.row_status}},
      {logits, {"targets", args.targets}, {"temperature", args.temperature.tensor}});
}

}  // namespace

Status token_logprobs(const TokenLogprobsArgs& args, const Context& context) noexcept {
  TokenLogprobsPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("token_logprobs", context, token_logprobs_workspace_size(args)));
  if (plan.logits.rows == 0) return {};
  return dispatch("token_logprobs", &BackendTable::token_logprobs, plan, args.logits.device,
                  context);
}

std::size_t token_logprobs_workspace_size(const TokenLogprobsArgs& args) noexcept {
  const int leading = args.logits.rank - 1;
  const std::int64_t columns = columns_of(args.logits, args.vocab_size);
  if (args.logits.device.type == DeviceType::cuda)
    return span_workspace_bytes(args.logits, leading, columns, 1);
  return workspace_bytes<TileRecord>(args.logits, leading, columns);
}

}  // namespace logsum
