// SPDX-License-Identifier: Apache-2.0
#include "ops/group_advantages.hpp"

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/workspace.hpp"

namespace logsum {
namespace {

Status check_parameters(const Checker& check, const GroupAdvantagesArgs& args) noexcept {
  if (args.scale > AdvantageScale::none)
    return check.invalid("scale is %d, must be group (0), batch (1) or none (2)",
                         static_cast<int>(args.scale));
  if (args.baseline > AdvantageBaseline::leave_one_out)
    return check.invalid("baseline is %d, must be mean (0) or leave_one_out (1)",
                         static_cast<int>(args.baseline));
  if (!(args.epsilon >= 0 && std::isfinite(args.epsilon)))
    return check.invalid("epsilon is %g, must be finite and at least 0", args.epsilon);
  return {};
}

Status make_plan(const GroupAdvantagesArgs& args, GroupAdvantagesPlan& plan) noexcept {
  const Checker check("group_advantages", args.rewards.device);
  const Argument rewards{"rewards", args.rewards}, mask{"mask", args.mask};
  const Argument advantages{"advantages", args.advantages}, mean{"mean", args.mean},
      std{"std", args.std}, group_status{"group_status", args.group_status};
  const int rank = args.rewards.rank;
  LOGSUM_RETURN_IF_ERROR(check_parameters(check, args));
  LOGSUM_RETURN_IF_ERROR(check.elements(rewards, rewards, rank,
                                        {.dtypes = {DType::f32, DType::f64}, .required = true},
                                        plan.rewards));
  if (rank < 1) return check.invalid("rewards has no dimensions, must be [..., size]");
  LOGSUM_RETURN_IF_ERROR(
      check.elements(mask, rewards, rank, {.dtypes = {DType::boolean, DType::u8}}, plan.mask));
  LOGSUM_RETURN_IF_ERROR(check.elements(advantages, rewards, rank,
                                        {.dtypes = {DType::f32}, .required = true, .output = true},
                                        plan.advantages));
  const auto per_group = [&](const Argument& argument, DType dtype, ElementsView& view) {
    return check.elements(argument, rewards, rank - 1, {.dtypes = {dtype}, .output = true}, view);
  };
  LOGSUM_RETURN_IF_ERROR(per_group(mean, DType::f32, plan.mean));
  LOGSUM_RETURN_IF_ERROR(per_group(std, DType::f32, plan.std));
  LOGSUM_RETURN_IF_ERROR(per_group(group_status, DType::i32, plan.group_status));
  plan.size = args.rewards.dim(-1);
  plan.groups = 1;
  for (int i = 0; i < rank - 1; ++i) plan.groups *= args.rewards.shape[i];
  plan.scale = args.scale;
  plan.baseline = args.baseline;
  plan.epsilon = args.epsilon;
  return check.no_overlap({advantages, mean, std, group_status}, {rewards, mask});
}

}  // namespace

Status group_advantages(const GroupAdvantagesArgs& args, const Context& context) noexcept {
  GroupAdvantagesPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("group_advantages", context, group_advantages_workspace_size(args)));
  return dispatch("group_advantages", &BackendTable::group_advantages, plan, args.rewards.device,
                  context);
}

// A measure per group, and the batch's behind them.
std::size_t group_advantages_workspace_size(const GroupAdvantagesArgs& args) noexcept {
  const Tensor& t = args.rewards;
  if (args.scale != AdvantageScale::batch || t.rank < 1 || t.rank > kMaxRank) return 0;
  const std::size_t bytes = workspace_bytes<GroupMeasure>(t, t.rank - 1, 1) + sizeof(GroupMeasure);
  return t.device.type == DeviceType::cuda ? launches_workspace_bytes(bytes) : bytes;
}

}  // namespace logsum
