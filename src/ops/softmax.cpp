// SPDX-License-Identifier: Apache-2.0
#include "logsum/softmax.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "ops/along_dim.hpp"
#include "ops/softmax.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

Status make_plan(const char* operation, const SoftmaxArgs& args, SoftmaxPlan& plan) noexcept {
  const Checker check(operation, args.logits.device);
  const Argument logits{"logits", args.logits};
  const Argument output{"output", args.output};
  LOGSUM_RETURN_IF_ERROR(check.rows(logits, args.dim, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_rows_like(check, output, logits, args.dim, plan.output));
  LOGSUM_RETURN_IF_ERROR(check_dense_output(check, output, logits));
  const RowsArgument rows(logits, args.dim);
  LOGSUM_RETURN_IF_ERROR(check.elements({"row_status", args.row_status}, rows.argument(),
                                        rows.rank(), {.dtypes = {DType::i32}, .output = true},
                                        plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, rows.argument(), rows.rank(),
                                           ZeroTemperature::refused, plan.temperature));
  return check.no_overlap({output, {"row_status", args.row_status}},
                          {{"logits", unless_same(args.logits, args.output)},
                           {"temperature", args.temperature.tensor}});
}

Status run(const char* operation,
           Status (*BackendTable::*entry)(const SoftmaxPlan&, const Context&),
           const SoftmaxArgs& args, const Context& context) noexcept {
  SoftmaxPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(operation, args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace(operation, context, softmax_workspace_size(args)));
  if (plan.logits.rows == 0) return {};
  return dispatch(operation, entry, plan, args.logits.device, context);
}

}  // namespace

Status softmax(const SoftmaxArgs& args, const Context& context) noexcept {
  return run("softmax", &BackendTable::softmax, args, context);
}

Status log_softmax(const SoftmaxArgs& args, const Context& context) noexcept {
  return run("log_softmax", &BackendTable::log_softmax, args, context);
}

std::size_t softmax_workspace_size(const SoftmaxArgs& args) noexcept {
  if (args.logits.device.type == DeviceType::cuda)
    return rows_span_workspace_bytes(args.logits, args.dim, sizeof(SoftmaxRow));
  return rows_workspace_bytes<TileRecord>(args.logits, args.dim, sizeof(SoftmaxRow)) +
         staging_bytes({args.logits, args.output}, args.dim);
}

}  // namespace logsum
