// SPDX-License-Identifier: Apache-2.0
#include "logsum/merge.hpp"

#include "core/backend.hpp"
#include "ops/shards.hpp"
#include "ops/temperature.hpp"
#include "ops/uniforms.hpp"

namespace logsum {
namespace {

Status check_shards(const Checker& check, const MergeArgs& args, MergePlan& plan) {
  if (args.shards.empty()) return check.invalid("shards is empty, must have at least one");
  if (args.vocab_size < 1 || args.vocab_size > INT32_MAX)
    return check.invalid("vocab_size is %lld, must be in [1, 2^31 - 1]",
                         static_cast<long long>(args.vocab_size));
  plan.columns = args.vocab_size;
  const Argument first{"shards[0]", args.shards[0]};
  if (first.tensor.rank < 2)
    return check.invalid("shards[0] has shape %s, must be [..., tiles, %zu]",
                         describe_shape(first.tensor).s, sizeof(TileRecord));
  const int leading = first.tensor.rank - 2;
  for (std::size_t i = 0; i < args.shards.size(); ++i) {
    char name[40];
    std::snprintf(name, sizeof name, "shards[%zu]", i);
    StructRows<TileRecord> rows;
    LOGSUM_RETURN_IF_ERROR(
        check_structs(check, {name, args.shards[i]}, first, leading, -1, false, rows));
    plan.tiles += rows.count;
    plan.shards.push_back(rows);
  }
  if (plan.tiles != tile_count(args.vocab_size))
    return check.invalid("shards have %lld tiles, vocab_size %lld has %lld",
                         static_cast<long long>(plan.tiles),
                         static_cast<long long>(args.vocab_size),
                         static_cast<long long>(tile_count(args.vocab_size)));
  plan.rows = 1;
  for (int i = 0; i < leading; ++i) plan.rows *= first.tensor.shape[i];
  return {};
}

Status check_scoring(const Checker& check, const MergeArgs& args, const Argument& first,
                     int leading, MergePlan& plan) {
  const bool all = args.targets.present() && args.logprobs.present() && !args.target_logits.empty();
  const bool none =
      !args.targets.present() && !args.logprobs.present() && args.target_logits.empty();
  if (!all && !none)
    return check.invalid("targets, target_logits and logprobs go together: one is missing");
  LOGSUM_RETURN_IF_ERROR(check.elements({"targets", args.targets}, first, leading,
                                        {.dtypes = {DType::i32, DType::i64}}, plan.targets));
  LOGSUM_RETURN_IF_ERROR(check.elements({"logprobs", args.logprobs}, first, leading,
                                        {.dtypes = {DType::f32}, .output = true}, plan.logprobs));
  for (const Tensor& tensor : args.target_logits) {
    ElementsView view;
    LOGSUM_RETURN_IF_ERROR(check.elements({"target_logits", tensor}, first, leading,
                                          {.dtypes = {DType::f32}, .required = true}, view));
    plan.target_logits.push_back(view);
  }
  plan.ignore_index = args.ignore_index;
  return {};
}

Status check_sampling(const Checker& check, const MergeArgs& args, const Argument& first,
                      int leading, MergePlan& plan) {
  if (args.draws < 1 || args.draws > INT32_MAX)
    return check.invalid("draws is %lld, must be in [1, 2^31 - 1]",
                         static_cast<long long>(args.draws));
  if (args.choices.present())
    LOGSUM_RETURN_IF_ERROR(check_structs(check, {"choices", args.choices}, first, leading,
                                         args.draws, true, plan.choices));
  return check_uniforms(check, args.u, args.seed, args.offset, first, leading, args.draws,
                        plan.uniforms);
}

Status make_plan(const MergeArgs& args, MergePlan& plan) {
  const Device device = args.shards.empty() ? Device() : args.shards[0].device;
  const Checker check("merge", device);
  LOGSUM_RETURN_IF_ERROR(check_shards(check, args, plan));
  const Argument first{"shards[0]", args.shards[0]};
  const int leading = first.tensor.rank - 2;
  LOGSUM_RETURN_IF_ERROR(check_scoring(check, args, first, leading, plan));
  LOGSUM_RETURN_IF_ERROR(check_sampling(check, args, first, leading, plan));
  const auto output = [&](const char* name, const Tensor& tensor,
                          std::initializer_list<DType> dtypes, ElementsView& view) {
    return check.elements({name, tensor}, first, leading, {.dtypes = dtypes, .output = true}, view);
  };
  LOGSUM_RETURN_IF_ERROR(output("lse", args.lse, {DType::f32}, plan.lse));
  LOGSUM_RETURN_IF_ERROR(output("entropy", args.entropy, {DType::f32}, plan.entropy));
  LOGSUM_RETURN_IF_ERROR(output("max", args.max, {DType::f32}, plan.max));
  LOGSUM_RETURN_IF_ERROR(output("argmax", args.argmax, {DType::i32, DType::i64}, plan.argmax));
  LOGSUM_RETURN_IF_ERROR(output("row_status", args.row_status, {DType::i32}, plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, first, leading,
                                           ZeroTemperature::is_greedy, plan.temperature));
  const std::initializer_list<Argument> outputs = {
      {"logprobs", args.logprobs}, {"lse", args.lse},       {"entropy", args.entropy},
      {"max", args.max},           {"argmax", args.argmax}, {"row_status", args.row_status},
      {"choices", args.choices}};
  for (const auto inputs : {args.shards, args.target_logits})
    for (const Tensor& tensor : inputs)
      LOGSUM_RETURN_IF_ERROR(check.no_overlap(outputs, {{"shards or target_logits", tensor}}));
  return check.no_overlap(outputs, {{"targets", args.targets},
                                    {"u", args.u},
                                    {"seed", args.seed.tensor},
                                    {"offset", args.offset.tensor},
                                    {"temperature", args.temperature.tensor}});
}

}  // namespace

Status merge(const MergeArgs& args, const Context& context) noexcept {
  try {
    MergePlan plan;
    LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
    if (plan.rows == 0) return {};
    return dispatch("merge", &BackendTable::merge, plan, args.shards[0].device, context);
  } catch (...) {
    return Status::error(StatusCode::out_of_memory, "merge: out of memory");
  }
}

}  // namespace logsum
