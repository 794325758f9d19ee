// SPDX-License-Identifier: Apache-2.0
#include "logsum/distill_loss.hpp"

#include "capi/convert.hpp"
#include "logsum/c/distill_loss.h"

namespace logsum::capi {
namespace {

DistillLossArgs to_cpp_args(const logsum_distill_loss_args& c) {
  return {.student_logits = to_cpp(c.student_logits),
          .teacher_logits = to_cpp(c.teacher_logits),
          .completion_mask = to_cpp(c.completion_mask),
          .loss = to_cpp(c.loss),
          .per_token_loss = to_cpp(c.per_token_loss),
          .row_status = to_cpp(c.row_status),
          .grad_student = to_cpp(c.grad_student),
          .grad_teacher = to_cpp(c.grad_teacher),
          .divergence = to_enum<Divergence>(c.divergence),
          .beta = c.beta,
          .student_temperature = to_cpp(c.student_temperature),
          .teacher_temperature = to_cpp(c.teacher_temperature),
          .normalizer = to_cpp(c.normalizer),
          .grad_scale = to_cpp(c.grad_scale),
          .vocab_size = c.vocab_size};
}

}  // namespace
}  // namespace logsum::capi

extern "C" {

logsum_status logsum_distill_loss(const logsum_distill_loss_args* args,
                                  const logsum_context* context) {
  using namespace logsum;
  return capi::run(
      "logsum_distill_loss", args, logsum_distill_loss_args_defaults(), context,
      [](const auto& c, const Context& ctx) { return distill_loss(capi::to_cpp_args(c), ctx); });
}

size_t logsum_distill_loss_workspace_size(const logsum_distill_loss_args* args) {
  using namespace logsum;
  return capi::workspace_size(args, logsum_distill_loss_args_defaults(), [](const auto& c) {
    return distill_loss_workspace_size(capi::to_cpp_args(c));
  });
}

}  // extern "C"
