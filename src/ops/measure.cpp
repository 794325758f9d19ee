// SPDX-License-Identifier: Apache-2.0
#include "logsum/measure.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "ops/shards.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

Status make_plan(const MeasureArgs& args, MeasurePlan& plan) noexcept {
  const Checker check("measure", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_vocab_start(check, args.vocab_start));
  plan.vocab_start = args.vocab_start;
  plan.moment = args.moment;
  const int leading = args.logits.rank - 1;
  LOGSUM_RETURN_IF_ERROR(check_structs(check, {"records", args.records}, logits, leading,
                                       tile_count(plan.logits.columns), true, plan.records));
  if (args.targets.present() != args.target_logits.present())
    return check.invalid("%s is missing: targets and target_logits go together",
                         args.targets.present() ? "target_logits" : "targets");
  LOGSUM_RETURN_IF_ERROR(check.elements({"targets", args.targets}, logits, leading,
                                        {.dtypes = {DType::i32, DType::i64}}, plan.targets));
  LOGSUM_RETURN_IF_ERROR(check.elements({"target_logits", args.target_logits}, logits, leading,
                                        {.dtypes = {DType::f32}, .output = true},
                                        plan.target_logits));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, logits, leading,
                                           ZeroTemperature::is_greedy, plan.temperature));
  return check.no_overlap(
      {{"records", args.records}, {"target_logits", args.target_logits}},
      {logits, {"targets", args.targets}, {"temperature", args.temperature.tensor}});
}

}  // namespace

Status measure(const MeasureArgs& args, const Context& context) noexcept {
  MeasurePlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace("measure", context, measure_workspace_size(args)));
  if (plan.logits.rows == 0) return {};
  return dispatch("measure", &BackendTable::measure, plan, args.logits.device, context);
}

std::size_t measure_workspace_size(const MeasureArgs& args) noexcept {
  if (args.logits.device.type != DeviceType::cuda) return 0;
  return span_workspace_bytes(args.logits, args.logits.rank - 1,
                              columns_of(args.logits, args.vocab_size), 1);
}

}  // namespace logsum
