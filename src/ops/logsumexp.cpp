// SPDX-License-Identifier: Apache-2.0
#include "logsum/logsumexp.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "ops/along_dim.hpp"
#include "ops/logsumexp.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

Status make_plan(const LogsumexpArgs& args, LogsumexpPlan& plan) noexcept {
  const Checker check("logsumexp", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.rows(logits, args.dim, plan.logits));
  const RowsArgument rows(logits, args.dim);
  LOGSUM_RETURN_IF_ERROR(check.elements({"lse", args.lse}, rows.argument(), rows.rank(),
                                        {.dtypes = {DType::f32}, .required = true, .output = true},
                                        plan.lse));
  LOGSUM_RETURN_IF_ERROR(check.elements({"row_status", args.row_status}, rows.argument(),
                                        rows.rank(), {.dtypes = {DType::i32}, .output = true},
                                        plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, rows.argument(), rows.rank(),
                                           ZeroTemperature::refused, plan.temperature));
  return check.no_overlap({{"lse", args.lse}, {"row_status", args.row_status}},
                          {logits, {"temperature", args.temperature.tensor}});
}

Status make_plan(const LogsumexpBackwardArgs& args, LogsumexpBackwardPlan& plan) noexcept {
  const Checker check("logsumexp_backward", args.logits.device);
  const Argument logits{"logits", args.logits};
  const Argument grad_logits{"grad_logits", args.grad_logits};
  LOGSUM_RETURN_IF_ERROR(check.rows(logits, args.dim, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_rows_like(check, grad_logits, logits, args.dim, plan.grad_logits));
  LOGSUM_RETURN_IF_ERROR(check_dense_output(check, grad_logits, logits));
  const RowsArgument rows(logits, args.dim);
  const auto input = [&](const char* name, const Tensor& tensor, ElementsView& view) {
    return check.elements({name, tensor}, rows.argument(), rows.rank(),
                          {.dtypes = {DType::f32}, .required = true}, view);
  };
  LOGSUM_RETURN_IF_ERROR(input("grad_output", args.grad_output, plan.grad_output));
  LOGSUM_RETURN_IF_ERROR(input("lse", args.lse, plan.lse));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, rows.argument(), rows.rank(),
                                           ZeroTemperature::refused, plan.temperature));
  return check.no_overlap({grad_logits}, {{"logits", unless_same(args.logits, args.grad_logits)},
                                          {"grad_output", args.grad_output},
                                          {"lse", args.lse},
                                          {"temperature", args.temperature.tensor}});
}

}  // namespace

Status logsumexp(const LogsumexpArgs& args, const Context& context) noexcept {
  LogsumexpPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace("logsumexp", context, logsumexp_workspace_size(args)));
  if (plan.logits.rows == 0) return {};
  return dispatch("logsumexp", &BackendTable::logsumexp, plan, args.logits.device, context);
}

Status logsumexp_backward(const LogsumexpBackwardArgs& args, const Context& context) noexcept {
  LogsumexpBackwardPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("logsumexp_backward", context, logsumexp_backward_workspace_size(args)));
  if (plan.logits.rows == 0) return {};
  return dispatch("logsumexp_backward", &BackendTable::logsumexp_backward, plan, args.logits.device,
                  context);
}

std::size_t logsumexp_workspace_size(const LogsumexpArgs& args) noexcept {
  if (args.logits.device.type == DeviceType::cuda)
    return rows_span_workspace_bytes(args.logits, args.dim);
  return rows_workspace_bytes<TileRecord>(args.logits, args.dim) +
         staging_bytes({args.logits}, args.dim);
}

std::size_t logsumexp_backward_workspace_size(const LogsumexpBackwardArgs& args) noexcept {
  if (args.logits.device.type == DeviceType::cuda) return 0;
  return staging_bytes({args.logits, args.grad_logits}, args.dim);
}

}  // namespace logsum
