/* SPDX-License-Identifier: Apache-2.0
   Cross entropy with the gradient of the logits. */
#ifndef LOGSUM_C_CROSS_ENTROPY_H_
#define LOGSUM_C_CROSS_ENTROPY_H_

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

typedef enum logsum_reduction {
  LOGSUM_REDUCTION_MEAN = 0,
  LOGSUM_REDUCTION_SUM = 1,
  LOGSUM_REDUCTION_NONE = 2
} logsum_reduction;

typedef struct logsum_cross_entropy_args {
  size_t struct_size;
  logsum_param_f64 normalizer, grad_scale;
  int64_t ignore_index;
  int64_t vocab_size;
  int32_t reduction; /* logsum_reduction */
  float label_smoothing, lse_square_scale, softcap;
  logsum_tensor logits, targets, class_weights, grad_loss;
  logsum_tensor loss, z_loss, per_token_loss, lse, row_status, grad_logits;
} logsum_cross_entropy_args;

static inline logsum_cross_entropy_args logsum_cross_entropy_args_defaults(void) {
  logsum_cross_entropy_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.grad_scale.value = 1.0;
  value.ignore_index = -100;
  return value;
}

LOGSUM_API logsum_status logsum_cross_entropy(const logsum_cross_entropy_args* args,
                                              const logsum_context* context);
LOGSUM_API size_t logsum_cross_entropy_workspace_size(const logsum_cross_entropy_args* args);

#ifdef __cplusplus
}
#endif

#endif
