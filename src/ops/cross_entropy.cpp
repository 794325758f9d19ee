// SPDX-License-Identifier: Apache-2.0
#include "logsum/cross_entropy.hpp"

#include "core/backend.hpp"
#include "ops/cross_entropy.hpp"
#include "ops/loss_checks.hpp"

namespace logsum {
namespace {

Status check_options(const Checker& check, const CrossEntropyArgs& args,
                     CrossEntropyPlan& plan) noexcept {
  if (args.reduction > Reduction::none)
    return check.invalid("reduction is %d, must be in [0, %d]", static_cast<int>(args.reduction),
                         static_cast<int>(Reduction::none));
  const auto smoothing = static_cast<double>(args.label_smoothing);
  const auto square = static_cast<double>(args.lse_square_scale);
  const auto cap = static_cast<double>(args.softcap);
  if (!(smoothing >= 0 && smoothing <= 1))
    return check.invalid("label_smoothing is %g, must be in [0, 1]", smoothing);
  if (!(square >= 0 && is_finite(square)))
    return check.invalid("lse_square_scale is %g, must be finite and at least 0", square);
  if (cap != 0 && !is_valid_temperature(args.softcap))
    return check.invalid("softcap is %g, must be in [2^-64, 2^64], or 0 for none", cap);
  const bool has_normalizer = args.normalizer.tensor.present() || args.normalizer.value != 0;
  if (has_normalizer && args.reduction != Reduction::mean)
    return check.invalid("normalizer is given, must be 0 where reduction isn't mean");
  const bool has_loss = args.loss.present() || args.z_loss.present();
  if (has_loss && args.reduction == Reduction::none)
    return check.invalid("%s is given, must be absent where reduction is none: per_token_loss",
                         args.loss.present() ? "loss" : "z_loss");
  plan.reduction = args.reduction;
  plan.label_smoothing = smoothing;
  plan.lse_square_scale = square;
  if (cap != 0) plan.softcap = Softcap(args.softcap);
  return {};
}

Status make_plan(const CrossEntropyArgs& args, CrossEntropyPlan& plan) noexcept {
  const Checker check("cross_entropy", args.logits.device);
  const Argument logits{"logits", args.logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(logits, args.vocab_size, plan.logits));
  LOGSUM_RETURN_IF_ERROR(check_options(check, args, plan));
  const int leading = args.logits.rank - 1;
  plan.sequences.count = 1;
  plan.sequences.tokens = plan.sequences.length = plan.logits.rows;
  plan.temperature.value = 1;
  plan.ignore_index = args.ignore_index;

  const auto elements = [&](const char* name, const Tensor& tensor, const Checker::Elements& spec,
                            ElementsView& view) {
    return check.elements({name, tensor}, logits, leading, spec, view);
  };
  const auto reals = {DType::f32};
  const auto scalars = {DType::f32, DType::f64};
  LOGSUM_RETURN_IF_ERROR(elements("targets", args.targets,
                                  {.dtypes = {DType::i32, DType::i64}, .required = true},
                                  plan.targets));
  LOGSUM_RETURN_IF_ERROR(check_few(check, {"class_weights", args.class_weights}, reals,
                                   plan.logits.columns, Use::input, plan.class_weights));
  LOGSUM_RETURN_IF_ERROR(elements("grad_loss", args.grad_loss, {.dtypes = reals}, plan.grad_loss));
  LOGSUM_RETURN_IF_ERROR(check_few(check, {"loss", args.loss}, scalars, 1, Use::output, plan.loss));
  LOGSUM_RETURN_IF_ERROR(
      check_few(check, {"z_loss", args.z_loss}, scalars, 1, Use::output, plan.z_loss));
  LOGSUM_RETURN_IF_ERROR(elements("per_token_loss", args.per_token_loss,
                                  {.dtypes = reals, .output = true}, plan.per_token_loss));
  LOGSUM_RETURN_IF_ERROR(elements("lse", args.lse, {.dtypes = reals, .output = true}, plan.lse));
  LOGSUM_RETURN_IF_ERROR(elements("row_status", args.row_status,
                                  {.dtypes = {DType::i32}, .output = true}, plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_gradient(check, {"grad_logits", args.grad_logits}, logits,
                                        plan.logits.columns, plan.grad_logits,
                                        plan.padded_columns));
  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "normalizer", args.normalizer, plan.normalizer));
  LOGSUM_RETURN_IF_ERROR(check_factor(check, "grad_scale", args.grad_scale, plan.grad_scale));

  const Tensor in_place = same_view(args.grad_logits, args.logits) ? Tensor() : args.logits;
  return check.no_overlap({{"loss", args.loss},
                           {"z_loss", args.z_loss},
                           {"per_token_loss", args.per_token_loss},
                           {"lse", args.lse},
                           {"row_status", args.row_status},
                           {"grad_logits", args.grad_logits}},
                          {{"logits", in_place},
                           {"targets", args.targets},
                           {"class_weights", args.class_weights},
                           {"grad_loss", args.grad_loss},
                           {"normalizer", args.normalizer.tensor},
                           {"grad_scale", args.grad_scale.tensor}});
}

}  // namespace

Status cross_entropy(const CrossEntropyArgs& args, const Context& context) noexcept {
  CrossEntropyPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("cross_entropy", context, cross_entropy_workspace_size(args)));
  return dispatch("cross_entropy", &BackendTable::cross_entropy, plan, args.logits.device, context);
}

std::size_t cross_entropy_workspace_size(const CrossEntropyArgs& args) noexcept {
  const auto tiles = static_cast<std::size_t>(tile_count(columns_of(args.logits, args.vocab_size)));
  const bool by_column = args.label_smoothing != 0 || args.softcap != 0;
  return loss_workspace_size(args.logits, {}, args.vocab_size,
                             [=](const LossCounts& counts, bool is_cuda) {
                               CrossEntropyRows kept;
                               return kept.lay(nullptr, counts.rows, tiles, by_column, is_cuda);
                             });
}

}  // namespace logsum
