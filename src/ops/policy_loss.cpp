// SPDX-License-Identifier: Apache-2.0
#include "logsum/policy_loss.hpp"

#include <algorithm>

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/workspace.hpp"
#include "ops/policy_loss.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

// A finite option within a range.
struct Range {
  const char* name;
  float value;
  double least, most;  // least itself is refused where is_open
  bool is_open = false;
  bool may_be_none = false;
};

Status check_range(const Checker& check, const Range& r) noexcept {
  const auto value = static_cast<double>(r.value);
  if (r.may_be_none && r.value == PolicyOptions::kNone) return {};
  if ((r.is_open ? value > r.least : value >= r.least) && value <= r.most) return {};
  return check.invalid("options.%s is %g, must be in %c%g, %g]%s", r.name, value,
                       r.is_open ? '(' : '[', r.least, r.most,
                       r.may_be_none ? ", or +inf for none" : "");
}

template <class Enum>
Status check_enum(const Checker& check, const char* name, Enum value, Enum last) noexcept {
  if (value <= last) return {};
  return check.invalid("options.%s is %d, must be in [0, %d]", name, static_cast<int>(value),
                       static_cast<int>(last));
}

Status check_options(const Checker& check, const PolicyOptions& o) noexcept {
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "objective", o.objective, Objective::reinforce));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "ratio_level", o.ratio_level, RatioLevel::sequence));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "aggregation", o.aggregation, Aggregation::constant));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "kl_estimator", o.kl_estimator, KlEstimator::k3_plus));
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "cispo_bounds", o.cispo_bounds, CispoBounds::both));
  constexpr double kMost = std::numeric_limits<float>::max();
  const double above_high =
      o.objective == Objective::clip ? 1.0 + static_cast<double>(o.epsilon_high) : 1.0;
  const Range ranges[] = {
      {"epsilon_low", o.epsilon_low, 0, o.objective == Objective::gmpo ? kMost : 1},
      {"epsilon_high", o.epsilon_high, 0, kMost},
      {"delta", o.delta, above_high, kMost, true, true},
      {"dual_clip", o.dual_clip, 1, kMost, true, true},
      {"sapo_tau_pos", o.sapo_tau_pos, 0, kMost, true},
      {"sapo_tau_neg", o.sapo_tau_neg, 0, kMost, true},
      {"vespo_k_pos", o.vespo_k_pos, 0, kMost},
      {"vespo_lambda_pos", o.vespo_lambda_pos, 0, kMost},
      {"vespo_k_neg", o.vespo_k_neg, 0, kMost},
      {"vespo_lambda_neg", o.vespo_lambda_neg, 0, kMost},
      {"log_ratio_clamp", o.log_ratio_clamp, 0, kMost, true, true},
      {"beta", o.beta, 0, kMost},
      {"kl_input_clamp", o.kl_input_clamp, 0, kMost, true, true},
      {"kl_output_clamp", o.kl_output_clamp, 0, kMost, true, true},
      {"entropy_coef", o.entropy_coef, -kMost, kMost},
      {"off_policy_threshold", o.off_policy_threshold, -kMost, kMost, false, true},
  };
  for (const Range& range : ranges) LOGSUM_RETURN_IF_ERROR(check_range(check, range));
  if (o.ratio_level == RatioLevel::sequence &&
      (o.objective == Objective::gmpo || o.objective == Objective::vespo ||
       o.objective == Objective::reinforce))
    return check.invalid(
        "options.ratio_level is sequence, must be token where the objective is gmpo, vespo (they "
        "have their sequence's own) or reinforce (it has no ratio)");
  return {};
}

Status check_scalar(const Checker& check, const char* name, const PerRow<double>& given,
                    std::initializer_list<DType> dtypes, ScalarView& view) noexcept {
  view.value = given.value;
  const Tensor& t = given.tensor;
  if (!t.present()) return {};
  LOGSUM_RETURN_IF_ERROR(check.tensor({name, t}));
  LOGSUM_RETURN_IF_ERROR(check.dtype({name, t}, dtypes));
  if (t.elements() != 1)
    return check.invalid("%s has shape %s, must have one element", name, describe_shape(t).s);
  view.tensor.data = static_cast<std::byte*>(t.data);
  view.tensor.dtype = t.dtype;
  return {};
}

Status check_normalizer(const Checker& check, const char* name, const PerRow<double>& given,
                        ScalarView& view) noexcept {
  LOGSUM_RETURN_IF_ERROR(
      check_scalar(check, name, given, {DType::f32, DType::f64, DType::i32, DType::i64}, view));
  if (given.tensor.present() || PolicyLossPlan::is_normalizer(given.value)) return {};
  return check.invalid("%s is %g, must be finite and above 0, or 0 to be counted", name,
                       given.value);
}

// Checks what depends on how sequences lie in the rows.
class Shapes {
 public:
  Shapes(const Checker& check, const PolicyLossArgs& args, PolicyLossPlan& plan) noexcept
      : check_(check),
        logits_{"logits", args.logits},
        leading_(args.logits.rank - 1),
        plan_(plan) {}

  Status sequences(const Tensor& cu_seqlens) noexcept {
    const Tensor& logits = logits_.tensor;
    const bool is_packed = cu_seqlens.present();
    if (leading_ < 1 || (is_packed && leading_ != 1))
      return check_.invalid("logits has shape %s, must be %s", describe_shape(logits).s,
                            is_packed ? "[N, V] where cu_seqlens is given" : "[..., T, V]");
    sequence_dims_ = leading_ - 1;
    LOGSUM_RETURN_IF_ERROR(check_sequences(check_, {"logits", without_dim(logits, logits.rank - 1)},
                                           {"cu_seqlens", cu_seqlens}, plan_.sequences));
    return is_packed && check_.device().type == DeviceType::cpu ? rising() : Status();
  }

  Status tokens(const char* name, const Tensor& tensor, std::initializer_list<DType> dtypes,
                ElementsView& view, bool required = false) const noexcept {
    return check_.elements({name, tensor}, logits_, leading_,
                           {.dtypes = dtypes, .required = required}, view);
  }
  Status output(const char* name, const Tensor& tensor, std::initializer_list<DType> dtypes,
                ElementsView& view) const noexcept {
    return check_.elements({name, tensor}, logits_, leading_, {.dtypes = dtypes, .output = true},
                           view);
  }

  Status tokens_or_sequences(const char* name, const Tensor& tensor, bool required,
                             TokenOrSequenceView& view) const noexcept {
    if (!tensor.present()) return required ? check_.invalid("%s is missing", name) : Status();
    LOGSUM_RETURN_IF_ERROR(check_.tensor({name, tensor}));
    const bool is_packed = static_cast<bool>(plan_.sequences.cu_seqlens);
    const bool is_one = !is_packed && sequence_dims_ == 0 && tensor.elements() == 1 &&
                        (tensor.rank == 0 || plan_.sequences.length != 1);
    view.is_per_sequence = is_packed
                               ? tensor.rank == 1 && tensor.shape[0] == plan_.sequences.count &&
                                     plan_.sequences.count != plan_.logits.rows
                               : tensor.rank == sequence_dims_ || is_one;
    if (!view.is_per_sequence) return tokens(name, tensor, {DType::f32}, view.tensor);
    LOGSUM_RETURN_IF_ERROR(check_.dtype({name, tensor}, {DType::f32}));
    if (is_one) {
      view.tensor.data = static_cast<std::byte*>(tensor.data);
      view.tensor.dtype = tensor.dtype;
      return {};
    }
    const Argument argument{name, tensor};
    return check_.elements(argument, is_packed ? argument : logits_, tensor.rank,
                           {.dtypes = {DType::f32}}, view.tensor);
  }

 private:
  Status rising() const noexcept {
    std::int64_t before = 0;
    for (std::int64_t i = 0; i <= plan_.sequences.count; ++i) {
      const std::int64_t value = plan_.sequences.cu_seqlens.integer(i);
      if (i == 0 ? value != 0 : value < before || value > plan_.logits.rows)
        return check_.invalid("cu_seqlens[%lld] is %lld, must rise from 0 to %lld (N)",
                              static_cast<long long>(i), static_cast<long long>(value),
                              static_cast<long long>(plan_.logits.rows));
      before = value;
    }
    if (before == plan_.logits.rows) return {};
    return check_.invalid("cu_seqlens ends at %lld, must end at %lld (N)",
                          static_cast<long long>(before),
                          static_cast<long long>(plan_.logits.rows));
  }

  const Checker& check_;
  Argument logits_;
  int leading_;
  int sequence_dims_ = 0;
  PolicyLossPlan& plan_;
};

Status check_gradient(const Checker& check, const PolicyLossArgs& args,
                      PolicyLossPlan& plan) noexcept {
  const Argument grad{"grad_logits", args.grad_logits};
  if (!grad.tensor.present()) return {};
  LOGSUM_RETURN_IF_ERROR(check.logits(grad, 0, plan.grad_logits));
  LOGSUM_RETURN_IF_ERROR(check.shape(grad, {"logits", args.logits}, args.logits.rank, 0));
  if (grad.tensor.dtype != args.logits.dtype && grad.tensor.dtype != DType::f32)
    return check.invalid("grad_logits has dtype %s, must be %s (logits') or f32",
                         to_string(grad.tensor.dtype), to_string(args.logits.dtype));
  LOGSUM_RETURN_IF_ERROR(check.writable(grad));
  plan.padded_columns = plan.grad_logits.columns - plan.logits.columns;
  plan.grad_logits.columns = plan.logits.columns;
  return {};
}

Status check_single(const Checker& check, const Argument& argument,
                    std::initializer_list<DType> dtypes, std::int64_t size,
                    ElementsView& view) noexcept {
  const Tensor& t = argument.tensor;
  if (!t.present()) return {};
  LOGSUM_RETURN_IF_ERROR(check.tensor(argument));
  LOGSUM_RETURN_IF_ERROR(check.dtype(argument, dtypes));
  if (t.elements() != size || (size > 1 && t.rank != 1))
    return size == 1 ? check.invalid("%s has shape %s, must have one element", argument.name,
                                     describe_shape(t).s)
                     : check.invalid("%s has shape %s, must be [%lld]", argument.name,
                                     describe_shape(t).s, static_cast<long long>(size));
  LOGSUM_RETURN_IF_ERROR(check.writable(argument));
  view.data = static_cast<std::byte*>(t.data);
  view.dtype = t.dtype;
  if (size > 1) view.inner_bytes = in_bytes(t.strides[0], t.dtype);
  return {};
}

Status make_plan(const PolicyLossArgs& args, PolicyLossPlan& plan) noexcept {
  const Checker check("policy_loss", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_options(check, args.options));
  plan.options = args.options;
  const bool needs_ref = args.options.beta != 0;
  if (needs_ref && !args.ref_per_token_logps.present())
    return check.invalid("ref_per_token_logps is missing: options.beta is %g",
                         static_cast<double>(args.options.beta));

  Shapes shapes(check, args, plan);
  LOGSUM_RETURN_IF_ERROR(shapes.sequences(args.cu_seqlens));
  const auto integers = {DType::i32, DType::i64};
  const auto flags = {DType::boolean, DType::u8};
  const auto reals = {DType::f32};
  LOGSUM_RETURN_IF_ERROR(shapes.tokens("targets", args.targets, integers, plan.targets, true));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens_or_sequences("advantages", args.advantages, true, plan.advantages));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("completion_mask", args.completion_mask, flags, plan.completion_mask));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("old_per_token_logps", args.old_per_token_logps, reals, plan.old_logps));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("ref_per_token_logps", args.ref_per_token_logps, reals, plan.ref_logps));
  LOGSUM_RETURN_IF_ERROR(shapes.tokens("sampling_per_token_logps", args.sampling_per_token_logps,
                                       reals, plan.sampling_logps));
  LOGSUM_RETURN_IF_ERROR(shapes.tokens_or_sequences("importance_weights", args.importance_weights,
                                                    false, plan.weights));
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("entropy_mask", args.entropy_mask, flags, plan.entropy_mask));

  LOGSUM_RETURN_IF_ERROR(
      check_single(check, {"loss", args.loss}, {DType::f32, DType::f64}, 1, plan.loss));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_loss", args.per_token_loss, reals, plan.per_token_loss));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_logps", args.per_token_logps, reals, plan.per_token_logps));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_kl", args.per_token_kl, reals, plan.per_token_kl));
  LOGSUM_RETURN_IF_ERROR(shapes.output("entropy", args.entropy, reals, plan.entropy));
  LOGSUM_RETURN_IF_ERROR(
      check_single(check, {"metrics", args.metrics}, {DType::f64}, kPolicyMetrics, plan.metrics));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("row_status", args.row_status, {DType::i32}, plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_gradient(check, args, plan));

  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, logits, args.logits.rank - 1,
                                           ZeroTemperature::refused, plan.temperature));
  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "normalizer", args.normalizer, plan.normalizer));
  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "entropy_normalizer", args.entropy_normalizer,
                                          plan.entropy_normalizer));
  LOGSUM_RETURN_IF_ERROR(check_scalar(check, "grad_scale", args.grad_scale,
                                      {DType::f32, DType::f64}, plan.grad_scale));
  if (!args.grad_scale.tensor.present() && !PolicyLossPlan::is_finite(args.grad_scale.value))
    return check.invalid("grad_scale is %g, must be finite", args.grad_scale.value);
  plan.ignore_index = args.ignore_index;

  const Tensor in_place = same_view(args.grad_logits, args.logits) ? Tensor() : args.logits;
  return check.no_overlap({{"loss", args.loss},
                           {"per_token_loss", args.per_token_loss},
                           {"per_token_logps", args.per_token_logps},
                           {"per_token_kl", args.per_token_kl},
                           {"entropy", args.entropy},
                           {"metrics", args.metrics},
                           {"row_status", args.row_status},
                           {"grad_logits", args.grad_logits}},
                          {{"logits", in_place},
                           {"targets", args.targets},
                           {"advantages", args.advantages},
                           {"completion_mask", args.completion_mask},
                           {"cu_seqlens", args.cu_seqlens},
                           {"old_per_token_logps", args.old_per_token_logps},
                           {"ref_per_token_logps", args.ref_per_token_logps},
                           {"sampling_per_token_logps", args.sampling_per_token_logps},
                           {"importance_weights", args.importance_weights},
                           {"entropy_mask", args.entropy_mask},
                           {"temperature", args.temperature.tensor},
                           {"normalizer", args.normalizer.tensor},
                           {"entropy_normalizer", args.entropy_normalizer.tensor},
                           {"grad_scale", args.grad_scale.tensor}});
}

}  // namespace

Status policy_loss(const PolicyLossArgs& args, const Context& context) noexcept {
  PolicyLossPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(check_workspace("policy_loss", context, policy_loss_workspace_size(args)));
  return dispatch("policy_loss", &BackendTable::policy_loss, plan, args.logits.device, context);
}

std::size_t policy_loss_workspace_size(const PolicyLossArgs& args) noexcept {
  const int leading = args.logits.rank - 1;
  const std::int64_t columns = columns_of(args.logits, args.vocab_size);
  const bool is_cuda = args.logits.device.type == DeviceType::cuda;
  const std::size_t visit = is_cuda ? span_workspace_bytes(args.logits, leading, columns, 1)
                                    : workspace_bytes<TileRecord>(args.logits, leading, columns);
  if (visit == 0 || visit >= kMostWorkspace / 2) return visit;
  std::size_t rows = 1, sequences = 1;
  for (int i = 0; i < leading; ++i) {
    rows *= static_cast<std::size_t>(args.logits.shape[i]);
    if (i < leading - 1) sequences *= static_cast<std::size_t>(args.logits.shape[i]);
  }
  if (args.cu_seqlens.rank == 1 && args.cu_seqlens.shape[0] > 0)
    sequences = static_cast<std::size_t>(args.cu_seqlens.shape[0]);
  if (rows > kMostWorkspace / 1024 || sequences > kMostWorkspace / 1024) return kMostWorkspace;
  PolicyRows kept;
  return PolicyRows::aligned(visit) + kept.lay(nullptr, rows, sequences, is_cuda);
}

}  // namespace logsum
