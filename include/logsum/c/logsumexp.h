/* SPDX-License-Identifier: Apache-2.0
   logsumexp and its gradient. */
#ifndef LOGSUM_C_LOGSUMEXP_H_
#define LOGSUM_C_LOGSUMEXP_H_

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

typedef struct logsum_logsumexp_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor logits, lse, row_status;
} logsum_logsumexp_args;

static inline logsum_logsumexp_args logsum_logsumexp_args_defaults(void) {
  logsum_logsumexp_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_logsumexp(const logsum_logsumexp_args* args,
                                          const logsum_context* context);
LOGSUM_API size_t logsum_logsumexp_workspace_size(const logsum_logsumexp_args* args);

typedef struct logsum_logsumexp_backward_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor grad_output, lse, logits, grad_logits;
} logsum_logsumexp_backward_args;

static inline logsum_logsumexp_backward_args logsum_logsumexp_backward_args_defaults(void) {
  logsum_logsumexp_backward_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_logsumexp_backward(const logsum_logsumexp_backward_args* args,
                                                   const logsum_context* context);
LOGSUM_API size_t
logsum_logsumexp_backward_workspace_size(const logsum_logsumexp_backward_args* args);

#ifdef __cplusplus
}
#endif

#endif
