// SPDX-License-Identifier: Apache-2.0
#include "ops/preference_loss.hpp"

#include "core/backend.hpp"
#include "ops/loss_checks.hpp"

namespace logsum {
namespace {

Status check_options(const Checker& check, const PreferenceOptions& o) noexcept {
  LOGSUM_RETURN_IF_ERROR(check_enum(check, "loss", o.loss, PreferenceLoss::kto));
  constexpr double kMost = std::numeric_limits<float>::max();
  const OptionRange ranges[] = {
      {"beta", o.beta, 0, kMost, o.loss == PreferenceLoss::ipo},
      {"label_smoothing", o.label_smoothing, 0, 1},
      {"gamma", o.gamma, -kMost, kMost},
      {"desirable_weight", o.desirable_weight, 0, kMost},
      {"undesirable_weight", o.undesirable_weight, 0, kMost},
      {"nll_coef", o.nll_coef, 0, kMost},
  };
  for (const OptionRange& range : ranges) LOGSUM_RETURN_IF_ERROR(check_range(check, range));
  return {};
}

// Arguments that some losses have and others not.
Status check_use(const Checker& check, const PreferenceLossArgs& args) noexcept {
  const PreferenceOptions& o = args.options;
  const char* const loss = to_string(o.loss);
  const bool is_kto = o.loss == PreferenceLoss::kto;
  const bool has_sums = args.ref_logps.present(), has_tokens = args.ref_per_token_logps.present();
  const char* const given = has_sums ? "ref_logps" : "ref_per_token_logps";
  if ((has_sums || has_tokens) && !has_reference(o.loss))
    return check.invalid("%s is given, must be absent: options.loss is %s", given, loss);
  if ((has_sums || has_tokens) && o.reference_free)
    return check.invalid("%s is given, must be absent: options.reference_free is set", given);
  if (has_sums && has_tokens)
    return check.invalid("ref_per_token_logps is given, must be absent beside ref_logps");
  if (has_reference(o.loss) && !o.reference_free && !has_sums && !has_tokens)
    return check.invalid(
        "ref_logps is missing: options.loss is %s, which takes it or ref_per_token_logps, unless "
        "options.reference_free is set",
        loss);
  if (is_kto && !args.desirable.present())
    return check.invalid("desirable is missing: options.loss is kto");
  if (!is_kto && args.desirable.present())
    return check.invalid("desirable is given, must be absent: options.loss is %s", loss);
  if (!is_kto && (args.kl.tensor.present() || args.kl.value != 0))
    return check.invalid("kl is given, must be absent or 0: options.loss is %s", loss);
  return {};
}

Status check_pairs(const Checker& check, const PreferenceLossArgs& args,
                   const PreferenceLossPlan& plan) noexcept {
  if (!plan.is_paired() || plan.sequences.count % 2 == 0) return {};
  const bool is_packed = args.cu_seqlens.present();
  return check.invalid(
      "%s has shape %s, which makes %lld sequences, must be an even number: the chosen, then the "
      "rejected ones",
      is_packed ? "cu_seqlens" : "logits",
      describe_shape(is_packed ? args.cu_seqlens : args.logits).s,
      static_cast<long long>(plan.sequences.count));
}

Status make_plan(const PreferenceLossArgs& args, PreferenceLossPlan& plan) noexcept {
  const Checker check("preference_loss", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_options(check, args.options));
  LOGSUM_RETURN_IF_ERROR(check_use(check, args));
  plan.options = args.options;

  SequenceChecks shapes(check, logits, plan);
  LOGSUM_RETURN_IF_ERROR(shapes.sequences(args.cu_seqlens));
  LOGSUM_RETURN_IF_ERROR(check_pairs(check, args, plan));
  const auto flags = {DType::boolean, DType::u8};
  const auto reals = {DType::f32};
  LOGSUM_RETURN_IF_ERROR(check_rows_of_loss(check, logits, shapes, args, plan));
  LOGSUM_RETURN_IF_ERROR(
      shapes.of_sequences("ref_logps", args.ref_logps, reals, Use::input, plan.ref_logps));
  LOGSUM_RETURN_IF_ERROR(shapes.tokens("ref_per_token_logps", args.ref_per_token_logps, reals,
                                       plan.ref_per_token_logps));
  LOGSUM_RETURN_IF_ERROR(
      shapes.of_sequences("desirable", args.desirable, flags, Use::input, plan.desirable));
  LOGSUM_RETURN_IF_ERROR(check_factor(check, "kl", args.kl, plan.kl));

  LOGSUM_RETURN_IF_ERROR(
      check_few(check, {"loss", args.loss}, {DType::f32, DType::f64}, 1, Use::output, plan.loss));
  LOGSUM_RETURN_IF_ERROR(
      plan.is_paired() ? shapes.in_one_dimension("per_pair_loss", args.per_pair_loss, reals,
                                                 plan.pairs(), Use::output, plan.per_pair_loss)
                       : shapes.of_sequences("per_pair_loss", args.per_pair_loss, reals,
                                             Use::output, plan.per_pair_loss));
  LOGSUM_RETURN_IF_ERROR(shapes.of_sequences("sequence_logps", args.sequence_logps, reals,
                                             Use::output, plan.sequence_logps));
  LOGSUM_RETURN_IF_ERROR(
      shapes.of_sequences("rewards", args.rewards, reals, Use::output, plan.rewards));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("per_token_logps", args.per_token_logps, reals, plan.per_token_logps));
  LOGSUM_RETURN_IF_ERROR(check_few(check, {"metrics", args.metrics}, {DType::f64},
                                   kPreferenceMetrics, Use::output, plan.metrics));
  LOGSUM_RETURN_IF_ERROR(
      shapes.output("row_status", args.row_status, {DType::i32}, plan.row_status));

  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "normalizer", args.normalizer, plan.normalizer));
  LOGSUM_RETURN_IF_ERROR(
      check_normalizer(check, "nll_normalizer", args.nll_normalizer, plan.nll_normalizer));

  const Tensor in_place = same_view(args.grad_logits, args.logits) ? Tensor() : args.logits;
  return check.no_overlap({{"loss", args.loss},
                           {"per_pair_loss", args.per_pair_loss},
                           {"sequence_logps", args.sequence_logps},
                           {"rewards", args.rewards},
                           {"per_token_logps", args.per_token_logps},
                           {"metrics", args.metrics},
                           {"row_status", args.row_status},
                           {"grad_logits", args.grad_logits}},
                          {{"logits", in_place},
                           {"targets", args.targets},
                           {"completion_mask", args.completion_mask},
                           {"cu_seqlens", args.cu_seqlens},
                           {"ref_logps", args.ref_logps},
                           {"ref_per_token_logps", args.ref_per_token_logps},
                           {"desirable", args.desirable},
                           {"kl", args.kl.tensor},
                           {"temperature", args.temperature.tensor},
                           {"normalizer", args.normalizer.tensor},
                           {"nll_normalizer", args.nll_normalizer.tensor},
                           {"grad_scale", args.grad_scale.tensor}});
}

}  // namespace

Status preference_loss(const PreferenceLossArgs& args, const Context& context) noexcept {
  PreferenceLossPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("preference_loss", context, preference_loss_workspace_size(args)));
  return dispatch("preference_loss", &BackendTable::preference_loss, plan, args.logits.device,
                  context);
}

std::size_t preference_loss_workspace_size(const PreferenceLossArgs& args) noexcept {
  return loss_workspace_size(args.logits, args.cu_seqlens, args.vocab_size,
                             [](const LossCounts& counts, bool is_cuda) {
                               PreferenceRows kept;
                               return kept.lay(nullptr, counts.rows, counts.sequences, is_cuda);
                             });
}

}  // namespace logsum
