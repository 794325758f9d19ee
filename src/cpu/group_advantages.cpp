// SPDX-License-Identifier: Apache-2.0
// group_advantages on the CPU: groups are independent but for the batch's deviation.
#include "ops/group_advantages.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

void write(const GroupAdvantagesPlan& plan, std::int64_t group, const GroupMeasure& measure,
           double deviation) {
  const double divisor = plan.divisor(deviation);
  for (std::int64_t i = 0; i < plan.size; ++i) plan.write_sample(group, i, measure, divisor);
  plan.write_group(group, measure);
}

Status scaled_by_batch(const GroupAdvantagesPlan& plan, const Context& context) {
  Scratch<GroupMeasure> scratch(context, static_cast<std::size_t>(plan.groups) + 1);
  GroupMeasure* const measures = scratch.data();
  LOGSUM_RETURN_IF_ERROR(parallel_rows(context, plan.groups, [&](std::int64_t group, TileScratch&) {
    measures[group] = plan.measure(group, SerialLanes<kWarpLanes>());
  }));
  const double deviation = plan.measure_batch(measures, SerialLanes<kBlockLanes>()).deviation();
  return parallel_rows(context, plan.groups, [&](std::int64_t group, TileScratch&) {
    write(plan, group, measures[group], deviation);
  });
}

}  // namespace

Status group_advantages(const GroupAdvantagesPlan& plan, const Context& context) {
  if (plan.scale == AdvantageScale::batch) return scaled_by_batch(plan, context);
  return parallel_rows(context, plan.groups, [&](std::int64_t group, TileScratch&) {
    const GroupMeasure measure = plan.measure(group, SerialLanes<kWarpLanes>());
    write(plan, group, measure, measure.deviation());
  });
}

}  // namespace logsum::cpu
