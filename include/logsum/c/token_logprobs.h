/* SPDX-License-Identifier: Apache-2.0
   Log-probs of given tokens, lse, entropy, argmax, ranks, top-N. */
#ifndef LOGSUM_C_TOKEN_LOGPROBS_H_
#define LOGSUM_C_TOKEN_LOGPROBS_H_

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

typedef struct logsum_token_logprobs_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t ignore_index;
  int64_t vocab_size;
  logsum_tensor logits, targets, logprobs;
  logsum_tensor lse, entropy, argmax, rank, top_ids, top_logprobs, row_status;
} logsum_token_logprobs_args;

static inline logsum_token_logprobs_args logsum_token_logprobs_args_defaults(void) {
  logsum_token_logprobs_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.ignore_index = -100;
  return value;
}

LOGSUM_API logsum_status logsum_token_logprobs(const logsum_token_logprobs_args* args,
                                               const logsum_context* context);
LOGSUM_API size_t logsum_token_logprobs_workspace_size(const logsum_token_logprobs_args* args);

#ifdef __cplusplus
}
#endif

#endif
