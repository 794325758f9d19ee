/* SPDX-License-Identifier: Apache-2.0
   softmax and log_softmax. */
#ifndef LOGSUM_C_SOFTMAX_H_
#define LOGSUM_C_SOFTMAX_H_

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

typedef struct logsum_softmax_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor logits, output, row_status;
} logsum_softmax_args;

static inline logsum_softmax_args logsum_softmax_args_defaults(void) {
  logsum_softmax_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_softmax(const logsum_softmax_args* args,
                                        const logsum_context* context);
LOGSUM_API logsum_status logsum_log_softmax(const logsum_softmax_args* args,
                                            const logsum_context* context);
LOGSUM_API size_t logsum_softmax_workspace_size(const logsum_softmax_args* args);

#ifdef __cplusplus
}
#endif

#endif
