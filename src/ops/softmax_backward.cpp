// SPDX-License-Identifier: Apache-2.0
#include "logsum/softmax_backward.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "ops/along_dim.hpp"
#include "ops/softmax.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

Status make_plan(const char* operation, const SoftmaxBackwardArgs& args,
                 SoftmaxBackwardPlan& plan) noexcept {
  const Checker check(operation, args.grad_output.device);
  const Argument grad_output{"grad_output", args.grad_output};
  const Argument output{"output", args.output};
  const Argument grad_logits{"grad_logits", args.grad_logits};
  LOGSUM_RETURN_IF_ERROR(check.rows(grad_output, args.dim, plan.grad_output));
  LOGSUM_RETURN_IF_ERROR(check_rows_like(check, output, grad_output, args.dim, plan.output));
  LOGSUM_RETURN_IF_ERROR(
      check_rows_like(check, grad_logits, grad_output, args.dim, plan.grad_logits));
  LOGSUM_RETURN_IF_ERROR(check.writable(grad_logits));
  const RowsArgument rows(grad_output, args.dim);
  LOGSUM_RETURN_IF_ERROR(check.elements({"row_status", args.row_status}, rows.argument(),
                                        rows.rank(), {.dtypes = {DType::i32}}, plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, rows.argument(), rows.rank(),
                                           ZeroTemperature::refused, plan.temperature));
  return check.no_overlap({grad_logits},
                          {{"grad_output", unless_same(args.grad_output, args.grad_logits)},
                           output,
                           {"row_status", args.row_status},
                           {"temperature", args.temperature.tensor}});
}

Status run(const char* operation,
           Status (*BackendTable::*entry)(const SoftmaxBackwardPlan&, const Context&),
           const SoftmaxBackwardArgs& args, const Context& context) noexcept {
  SoftmaxBackwardPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(operation, args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace(operation, context, softmax_backward_workspace_size(args)));
  if (plan.output.rows == 0) return {};
  return dispatch(operation, entry, plan, args.grad_output.device, context);
}

}  // namespace

Status softmax_backward(const SoftmaxBackwardArgs& args, const Context& context) noexcept {
  return run("softmax_backward", &BackendTable::softmax_backward, args, context);
}

Status log_softmax_backward(const SoftmaxBackwardArgs& args, const Context& context) noexcept {
  return run("log_softmax_backward", &BackendTable::log_softmax_backward, args, context);
}

std::size_t softmax_backward_workspace_size(const SoftmaxBackwardArgs& args) noexcept {
  const std::size_t sums = rows_workspace_bytes<double>(args.grad_output, args.dim);
  if (args.grad_output.device.type == DeviceType::cuda) return launches_workspace_bytes(sums);
  return sums + staging_bytes({args.grad_output, args.output, args.grad_logits}, args.dim);
}

}  // namespace logsum
