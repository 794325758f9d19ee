/* SPDX-License-Identifier: Apache-2.0
   Tokens with their log-probs. */
#ifndef LOGSUM_C_SAMPLE_H_
#define LOGSUM_C_SAMPLE_H_

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

typedef struct logsum_sample_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  logsum_param_u64 seed, offset;
  int64_t draws;
  int64_t vocab_size;
  logsum_tensor logits, indices, u;
  logsum_tensor token, logprob, raw_logprob;
  logsum_tensor lse, entropy, row_status;
} logsum_sample_args;

static inline logsum_sample_args logsum_sample_args_defaults(void) {
  logsum_sample_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.draws = 1;
  return value;
}

LOGSUM_API logsum_status logsum_sample(const logsum_sample_args* args,
                                       const logsum_context* context);
LOGSUM_API size_t logsum_sample_workspace_size(const logsum_sample_args* args);

#ifdef __cplusplus
}
#endif

#endif
