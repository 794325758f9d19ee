/* SPDX-License-Identifier: Apache-2.0
   The divergence of a student's and a teacher's logits, and its gradients. */
#ifndef LOGSUM_C_DISTILL_LOSS_H_
#define LOGSUM_C_DISTILL_LOSS_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "logsum/c/context.h"
#include "logsum/c/status.h"
#include "logsum/c/tensor.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum logsum_divergence {
  LOGSUM_FORWARD_KL = 0,
  LOGSUM_REVERSE_KL = 1,
  LOGSUM_JSD = 2
} logsum_divergence;

typedef struct logsum_distill_loss_args {
  size_t struct_size;
  logsum_param_f32 student_temperature, teacher_temperature;
  logsum_param_f64 normalizer, grad_scale;
  int64_t vocab_size;
  int32_t divergence; /* logsum_divergence */
  float beta;
  logsum_tensor student_logits, teacher_logits, completion_mask;
  logsum_tensor loss, per_token_loss, row_status, grad_student, grad_teacher;
} logsum_distill_loss_args;

static inline logsum_distill_loss_args logsum_distill_loss_args_defaults(void) {
  logsum_distill_loss_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.student_temperature.value = value.teacher_temperature.value = 1.0f;
  value.grad_scale.value = 1.0;
  value.divergence = LOGSUM_JSD;
  value.beta = 0.5f;
  return value;
}

LOGSUM_API logsum_status logsum_distill_loss(const logsum_distill_loss_args* args,
                                             const logsum_context* context);
LOGSUM_API size_t logsum_distill_loss_workspace_size(const logsum_distill_loss_args* args);

#ifdef __cplusplus
}
#endif

#endif
