// SPDX-License-Identifier: Apache-2.0
#include "ops/importance_weights.hpp"

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/workspace.hpp"

namespace logsum {
namespace {

Status check_parameters(const Checker& check, const ImportanceWeightsArgs& args) noexcept {
  if (args.level > ImportanceLevel::sequence)
    return check.invalid("level is %d, must be token (0) or sequence (1)",
                         static_cast<int>(args.level));
  if (args.mode > ImportanceMode::none)
    return check.invalid("mode is %d, must be truncate (0), mask (1) or none (2)",
                         static_cast<int>(args.mode));
  if (!(args.clip_min >= 0 && args.clip_min <= args.clip_max))
    return check.invalid("clip_min is %g and clip_max %g, must be 0 <= clip_min <= clip_max",
                         static_cast<double>(args.clip_min), static_cast<double>(args.clip_max));
  return {};
}

Status check_statistics(const Checker& check, const ImportanceWeightsArgs& args,
                        ImportanceWeightsPlan& plan) noexcept {
  LOGSUM_RETURN_IF_ERROR(check.one_element({"count", args.count}, DType::i64, plan.count));
  LOGSUM_RETURN_IF_ERROR(check.one_element({"effective_sample_size", args.effective_sample_size},
                                           DType::f32, plan.effective_sample_size));
  LOGSUM_RETURN_IF_ERROR(
      check.one_element({"mean_weight", args.mean_weight}, DType::f32, plan.mean_weight));
  return check.one_element({"clipped_fraction", args.clipped_fraction}, DType::f32,
                           plan.clipped_fraction);
}

Status make_plan(const ImportanceWeightsArgs& args, ImportanceWeightsPlan& plan) noexcept {
  const Checker check("importance_weights", args.old_per_token_logps.device);
  const Argument old_logps{"old_per_token_logps", args.old_per_token_logps};
  const Argument sampling_logps{"sampling_per_token_logps", args.sampling_per_token_logps};
  const Argument mask{"completion_mask", args.completion_mask};
  const Argument cu_seqlens{"cu_seqlens", args.cu_seqlens};
  const Argument weights{"weights", args.weights};
  LOGSUM_RETURN_IF_ERROR(check_parameters(check, args));
  const auto tokens = [&](const Argument& argument, const Checker::Elements& spec,
                          ElementsView& view) {
    return check.elements(argument, old_logps, old_logps.tensor.rank, spec, view);
  };
  const Checker::Elements input{.dtypes = {DType::f32}, .required = true};
  LOGSUM_RETURN_IF_ERROR(tokens(old_logps, input, plan.old_logps));
  LOGSUM_RETURN_IF_ERROR(tokens(sampling_logps, input, plan.sampling_logps));
  LOGSUM_RETURN_IF_ERROR(tokens(mask, {.dtypes = {DType::boolean, DType::u8}}, plan.mask));
  LOGSUM_RETURN_IF_ERROR(check_sequences(check, old_logps, cu_seqlens, plan.sequences));
  LOGSUM_RETURN_IF_ERROR(
      tokens(weights, {.dtypes = {DType::f32}, .required = true, .output = true}, plan.weights));
  LOGSUM_RETURN_IF_ERROR(check_statistics(check, args, plan));
  plan.level = args.level;
  plan.mode = args.mode;
  plan.clip_min = args.clip_min;
  plan.clip_max = args.clip_max;
  return check.no_overlap({weights,
                           {"count", args.count},
                           {"effective_sample_size", args.effective_sample_size},
                           {"mean_weight", args.mean_weight},
                           {"clipped_fraction", args.clipped_fraction}},
                          {old_logps, sampling_logps, mask, cu_seqlens});
}

}  // namespace

Status importance_weights(const ImportanceWeightsArgs& args, const Context& context) noexcept {
  ImportanceWeightsPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("importance_weights", context, importance_weights_workspace_size(args)));
  return dispatch("importance_weights", &BackendTable::importance_weights, plan,
                  args.old_per_token_logps.device, context);
}

// The sums of each range of tokens: packed, cu_seqlens has as many values.
std::size_t importance_weights_workspace_size(const ImportanceWeightsArgs& args) noexcept {
  if (!args.count.present() && !args.effective_sample_size.present() &&
      !args.mean_weight.present() && !args.clipped_fraction.present())
    return 0;
  const bool is_packed = args.cu_seqlens.present();
  const Tensor& ranges = is_packed ? args.cu_seqlens : args.old_per_token_logps;
  if (ranges.rank < 1 || ranges.rank > kMaxRank) return 0;
  const std::size_t bytes = workspace_bytes<WeightSums>(ranges, is_packed ? 1 : ranges.rank - 1, 1);
  return args.old_per_token_logps.device.type == DeviceType::cuda ? launches_workspace_bytes(bytes)
                                                                  : bytes;
}

}  // namespace logsum
