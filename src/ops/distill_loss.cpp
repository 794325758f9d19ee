// SPDX-License-Identifier: Apache-2.0
#include "ops/distill_loss.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "ops/loss_checks.hpp"
#include "ops/temperature.hpp"

namespace logsum {
namespace {

Status check_divergence(const Checker& check, const DistillLossArgs& args,
                        DistillLossPlan& plan) noexcept {
  if (args.divergence > Divergence::jsd)
    return check.invalid("divergence is %d, must be forward_kl (0), reverse_kl (1) or jsd (2)",
                         static_cast<int>(args.divergence));
  plan.divergence = args.divergence;
  if (args.divergence != Divergence::jsd) return {};
  plan.beta = args.beta;
  if (args.beta >= std::numeric_limits<float>::min() && args.beta < 1.0f) return {};
  return check.invalid("beta is %g, must be in [2^-126, 1) for jsd%s",
                       static_cast<double>(args.beta),
                       args.beta == 0   ? " (0: divergence forward_kl)"
                       : args.beta == 1 ? " (1: divergence reverse_kl)"
                                        : "");
}

Status check_side(const Checker& check, const Argument& logits, const Argument& grad,
                  const char* temperature_name, const PerRow<float>& temperature,
                  DistillLossPlan::Side& side) noexcept {
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, temperature, logits, logits.tensor.rank - 1,
                                           ZeroTemperature::refused, side.temperature,
                                           temperature_name));
  return check_gradient(check, grad, logits, side.logits.columns, side.grad, side.padded_columns);
}

Status make_plan(const DistillLossArgs& args, DistillLossPlan& plan) noexcept {
  const Checker check("distill_loss", args.student_logits.device);
  const Argument student{"student_logits", args.student_logits};
  const Argument teacher{"teacher_logits", args.teacher_logits};
  LOGSUM_RETURN_IF_ERROR(check.logits(student, args.vocab_size, plan.student.logits));
  LOGSUM_RETURN_IF_ERROR(check.logits(teacher, args.vocab_size, plan.teacher.logits));
  LOGSUM_RETURN_IF_ERROR(check.shape(teacher, student, student.tensor.rank, 0));
  LOGSUM_RETURN_IF_ERROR(check_divergence(check, args, plan));

  const int leading = student.tensor.rank - 1;
  const auto rows = [&](const char* name, const Tensor& tensor, const Checker::Elements& spec,
                        ElementsView& view) {
    return check.elements({name, tensor}, student, leading, spec, view);
  };
  LOGSUM_RETURN_IF_ERROR(rows("completion_mask", args.completion_mask,
                              {.dtypes = {DType::boolean, DType::u8}}, plan.mask));
  LOGSUM_RETURN_IF_ERROR(
      check_few(check, {"loss", args.loss}, {DType::f32, DType::f64}, 1, Use::output, plan.loss));
  LOGSUM_RETURN_IF_ERROR(rows("per_token_loss", args.per_token_loss,
                              {.dtypes = {DType::f32}, .output = true}, plan.per_token_loss));
  LOGSUM_RETURN_IF_ERROR(rows("row_status", args.row_status,
                              {.dtypes = {DType::i32}, .output = true}, plan.row_status));
  LOGSUM_RETURN_IF_ERROR(check_side(check, student, {"grad_student", args.grad_student},
                                    "student_temperature", args.student_temperature, plan.student));
  LOGSUM_RETURN_IF_ERROR(check_side(check, teacher, {"grad_teacher", args.grad_teacher},
                                    "teacher_temperature", args.teacher_temperature, plan.teacher));
  LOGSUM_RETURN_IF_ERROR(check_normalizer(check, "normalizer", args.normalizer, plan.normalizer));
  LOGSUM_RETURN_IF_ERROR(check_factor(check, "grad_scale", args.grad_scale, plan.grad_scale));

  const auto unless_in_place = [](const Tensor& logits, const Tensor& grad) {
    return same_view(grad, logits) ? Tensor() : logits;
  };
  const Tensor student_in = unless_in_place(args.student_logits, args.grad_student);
  const Tensor teacher_in = unless_in_place(args.teacher_logits, args.grad_teacher);
  return check.no_overlap({{"loss", args.loss},
                           {"per_token_loss", args.per_token_loss},
                           {"row_status", args.row_status},
                           {"grad_student", args.grad_student},
                           {"grad_teacher", args.grad_teacher}},
                          {{"student_logits", student_in},
                           {"teacher_logits", teacher_in},
                           {"completion_mask", args.completion_mask},
                           {"student_temperature", args.student_temperature.tensor},
                           {"teacher_temperature", args.teacher_temperature.tensor},
                           {"normalizer", args.normalizer.tensor},
                           {"grad_scale", args.grad_scale.tensor}});
}

}  // namespace

Status distill_loss(const DistillLossArgs& args, const Context& context) noexcept {
  DistillLossPlan plan;
  LOGSUM_RETURN_IF_ERROR(make_plan(args, plan));
  LOGSUM_RETURN_IF_ERROR(
      check_workspace("distill_loss", context, distill_loss_workspace_size(args)));
  return dispatch("distill_loss", &BackendTable::distill_loss, plan, args.student_logits.device,
                  context);
}

// Records of both matrices' tiles, which on a GPU one visit after the other keeps, then the rows.
std::size_t distill_loss_workspace_size(const DistillLossArgs& args) noexcept {
  const Tensor& logits = args.student_logits;
  const int leading = logits.rank - 1;
  const std::int64_t columns = columns_of(logits, args.vocab_size);
  const bool on_gpu = logits.device.type == DeviceType::cuda;
  const std::size_t visit = on_gpu ? span_workspace_bytes(logits, leading, columns, 1)
                                   : workspace_bytes<TileRecord[2]>(logits, leading, columns);
  if (visit == 0 || visit >= kMostWorkspace / 8) return visit;
  std::size_t rows = 1;
  for (int i = 0; i < leading; ++i) rows *= static_cast<std::size_t>(logits.shape[i]);
  if (rows > kMostWorkspace / 1024) return kMostWorkspace;
  DistillRows kept;
  return Layout::aligned(visit) +
         kept.lay(nullptr, rows, static_cast<std::size_t>(tile_count(columns)), on_gpu);
}

}  // namespace logsum
