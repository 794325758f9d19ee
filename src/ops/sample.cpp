// SPDX-License-Identifier: Apache-2.0
#include "logsum/sample.hpp"

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/workspace.hpp"
#include "ops/sample.hpp"
#include "ops/temperature.hpp"
#include "ops/uniforms.hpp"

namespace logsum {
namespace {

// The tensor whose leading dimensions the outputs have: indices where given, else logits without V.
Argument rows_of(const SampleArgs& args) {
  return args.indices.present() ? Argument{"indices", args.indices}
                                : Argument{"logits", args.logits};
}

int leading_of(const SampleArgs& args) {
  return args.indices.present() ? args.indices.rank : args.logits.rank - 1;
}

Status make_plan(const SampleArgs& args, SamplePlan& plan) noexcept {
  const Checker check("sample", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  const Argument rows = rows_of(args);
  const int leading = leading_of(args);
  const auto integers = {DType::i32, DType::i64};
  LOGSUM_RETURN_IF_ERROR(
      check.elements({"indices", args.indices}, rows, leading, {.dtypes = integers}, plan.indices));
  plan.rows = args.indices.present() ? args.indices.elements() : plan.logits.rows;
  if (args.indices.present() && plan.rows > 0 && plan.logits.rows == 0)
    return check.invalid("indices has %lld rows, logits has none",
                         static_cast<long long>(plan.rows));

  if (args.draws < 1 || args.draws > INT32_MAX)
    return check.invalid("draws is %lld, must be in [1, 2^31 - 1]",
                         static_cast<long long>(args.draws));
  plan.draws = args.draws;
  // One draw may come with or without its own dimension of 1.
  const bool own_dimension = args.draws > 1 || args.token.rank > leading;
  const std::int64_t inner = own_dimension ? args.draws : 0;

  const auto element = [&](const char* name, const Tensor& tensor,
                           std::initializer_list<DType> dtypes, std::int64_t size, bool output,
                           ElementsView& view) {
    return check.elements({name, tensor}, rows, leading,
                          {.dtypes = dtypes, .inner = size, .output = output}, view);
  };
  if (!args.token.present()) return check.invalid("token is missing");
  LOGSUM_RETURN_IF_ERROR(element("token", args.token, integers, inner, true, plan.token));
  LOGSUM_RETURN_IF_ERROR(element("logprob", args.logprob, {DType::f32}, inner, true, plan.logprob));
  LOGSUM_RETURN_IF_ERROR(
      element("raw_logprob", args.raw_logprob, {DType::f32}, inner, true, plan.raw_logprob));
  LOGSUM_RETURN_IF_ERROR(element("lse", args.lse, {DType::f32}, 0, true, plan.lse));
  LOGSUM_RETURN_IF_ERROR(element("entropy", args.entropy, {DType::f32}, 0, true, plan.entropy));
  LOGSUM_RETURN_IF_ERROR(
      element("row_status", args.row_status, {DType::i32}, 0, true, plan.row_status));
  LOGSUM_RETURN_IF_ERROR(
      check_uniforms(check, args.u, args.seed, args.offset, rows, leading, inner, plan.uniforms));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, rows, leading,
                                           ZeroTemperature::is_greedy, plan.temperature));
  return check.no_overlap({{"token", args.token},
                           {"logprob", args.logprob},
                           {"raw_logprob", args.raw_logprob},
                           {"lse", args.lse},
                           {"entropy", args.entropy},
                           {"row_status", args.row_status}},
                          {logits,
                           {"indices", args.indices},
                           {"u", args.u},
                           {"temperature", args.temperature.tensor},
                           {"seed", args.seed.tensor},
                           {"offset", args.offset.tensor}});
}

}  // namespace

Status sample(const SampleArgs& args, const Context& context) noexcept {
  SamplePlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace("sample", context, sample_workspace_size(args)));
  if (plan.rows == 0) return {};
  return dispatch("sample", &BackendTable::sample, plan, args.logits.device, context);
}

std::size_t sample_workspace_size(const SampleArgs& args) noexcept {
  const std::int64_t columns = columns_of(args.logits, args.vocab_size);
  const Tensor& rows = rows_of(args).tensor;
  const int leading = leading_of(args);
  if (args.logits.device.type == DeviceType::cuda)
    return span_workspace_bytes(rows, leading, columns, 2);
  return args.draws > 1 ? workspace_bytes<SampleTileOfDraws>(rows, leading, columns)
                        : workspace_bytes<SampleTile>(rows, leading, columns);
}

}  // namespace logsum
