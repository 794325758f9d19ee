// SPDX-License-Identifier: Apache-2.0
#include "logsum/approx_kl.hpp"

#include <algorithm>

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/workspace.hpp"
#include "ops/approx_kl.hpp"

namespace logsum {
namespace {

Status make_plan(const ApproxKlArgs& args, ApproxKlPlan& plan) noexcept {
  const Checker check("approx_kl", args.per_token_logps.device);
  const Argument logps{"per_token_logps", args.per_token_logps};
  const auto tokens = [&](const Argument& argument, std::initializer_list<DType> dtypes,
                          bool required, bool output, ElementsView& view) {
    return check.elements(argument, logps, logps.tensor.rank,
                          {.dtypes = dtypes, .required = required, .output = output}, view);
  };
  const Argument ref_logps{"ref_per_token_logps", args.ref_per_token_logps};
  const Argument mask{"completion_mask", args.completion_mask};
  LOGSUM_RETURN_IF_ERROR(tokens(logps, {DType::f32}, true, false, plan.logps));
  LOGSUM_RETURN_IF_ERROR(tokens(ref_logps, {DType::f32}, true, false, plan.ref_logps));
  LOGSUM_RETURN_IF_ERROR(tokens(mask, {DType::boolean, DType::u8}, false, false, plan.mask));
  plan.tokens = logps.tensor.elements();
  LOGSUM_RETURN_IF_ERROR(tokens({"k1", args.k1}, {DType::f32}, false, true, plan.k1));
  LOGSUM_RETURN_IF_ERROR(tokens({"k2", args.k2}, {DType::f32}, false, true, plan.k2));
  LOGSUM_RETURN_IF_ERROR(tokens({"k3", args.k3}, {DType::f32}, false, true, plan.k3));
  LOGSUM_RETURN_IF_ERROR(check.one_element({"mean_k1", args.mean_k1}, DType::f32, plan.mean_k1));
  LOGSUM_RETURN_IF_ERROR(check.one_element({"mean_k2", args.mean_k2}, DType::f32, plan.mean_k2));
  LOGSUM_RETURN_IF_ERROR(check.one_element({"mean_k3", args.mean_k3}, DType::f32, plan.mean_k3));
  LOGSUM_RETURN_IF_ERROR(check.one_element({"count", args.count}, DType::i64, plan.count));
  LOGSUM_RETURN_IF_ERROR(
      check.one_element({"overflow_count", args.overflow_count}, DType::i64, plan.overflow_count));
  return check.no_overlap({{"k1", args.k1},
                           {"k2", args.k2},
                           {"k3", args.k3},
                           {"mean_k1", args.mean_k1},
                           {"mean_k2", args.mean_k2},
                           {"mean_k3", args.mean_k3},
                           {"count", args.count},
                           {"overflow_count", args.overflow_count}},
                          {logps, ref_logps, mask});
}

}  // namespace

Status approx_kl(const ApproxKlArgs& args, const Context& context) noexcept {
  ApproxKlPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace("approx_kl", context, approx_kl_workspace_size(args)));
  return dispatch("approx_kl", &BackendTable::approx_kl, plan, args.per_token_logps.device,
                  context);
}

std::size_t approx_kl_workspace_size(const ApproxKlArgs& args) noexcept {
  const Tensor& t = args.per_token_logps;
  if (t.rank < 0 || t.rank > kMaxRank) return 0;
  std::int64_t tokens = 1;
  for (int i = 0; i < t.rank; ++i)
    if (t.shape[i] < 0)
      return 0;
    else if (__builtin_mul_overflow(tokens, t.shape[i], &tokens))
      return kMostWorkspace;
  const std::size_t counters = t.device.type == DeviceType::cuda ? kSpanCounterBytes : 0;
  return std::min(kMostWorkspace,
                  counters + static_cast<std::size_t>(kl_runs(tokens)) * sizeof(KlSums));
}

}  // namespace logsum
