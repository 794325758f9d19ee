/* SPDX-License-Identifier: Apache-2.0
   Truncated or masked ratios of trainer to rollout. */
#ifndef LOGSUM_C_IMPORTANCE_WEIGHTS_H_
#define LOGSUM_C_IMPORTANCE_WEIGHTS_H_

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

typedef enum logsum_importance_level {
  LOGSUM_IMPORTANCE_LEVEL_TOKEN = 0,
  LOGSUM_IMPORTANCE_LEVEL_SEQUENCE = 1
} logsum_importance_level;

typedef enum logsum_importance_mode {
  LOGSUM_IMPORTANCE_MODE_TRUNCATE = 0,
  LOGSUM_IMPORTANCE_MODE_MASK = 1,
  LOGSUM_IMPORTANCE_MODE_NONE = 2
} logsum_importance_mode;

typedef struct logsum_importance_weights_args {
  size_t struct_size;
  int32_t level; /* logsum_importance_level */
  int32_t mode;  /* logsum_importance_mode */
  float clip_min, clip_max;
  logsum_tensor old_per_token_logps, sampling_per_token_logps, completion_mask, cu_seqlens;
  logsum_tensor weights;
  logsum_tensor count, effective_sample_size, mean_weight, clipped_fraction;
} logsum_importance_weights_args;

static inline logsum_importance_weights_args logsum_importance_weights_args_defaults(void) {
  logsum_importance_weights_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.level = LOGSUM_IMPORTANCE_LEVEL_SEQUENCE;
  value.mode = LOGSUM_IMPORTANCE_MODE_MASK;
  value.clip_max = 3.0f;
  return value;
}

LOGSUM_API logsum_status logsum_importance_weights(const logsum_importance_weights_args* args,
                                                   const logsum_context* context);
LOGSUM_API size_t
logsum_importance_weights_workspace_size(const logsum_importance_weights_args* args);

#ifdef __cplusplus
}
#endif

#endif
