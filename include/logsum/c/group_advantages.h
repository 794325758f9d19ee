/* SPDX-License-Identifier: Apache-2.0
   Rewards of groups to advantages. */
#ifndef LOGSUM_C_GROUP_ADVANTAGES_H_
#define LOGSUM_C_GROUP_ADVANTAGES_H_

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

typedef enum logsum_advantage_scale {
  LOGSUM_ADVANTAGE_SCALE_GROUP = 0,
  LOGSUM_ADVANTAGE_SCALE_BATCH = 1,
  LOGSUM_ADVANTAGE_SCALE_NONE = 2
} logsum_advantage_scale;

typedef enum logsum_advantage_baseline {
  LOGSUM_ADVANTAGE_BASELINE_MEAN = 0,
  LOGSUM_ADVANTAGE_BASELINE_LEAVE_ONE_OUT = 1
} logsum_advantage_baseline;

typedef struct logsum_group_advantages_args {
  size_t struct_size;
  double epsilon;
  int32_t scale;    /* logsum_advantage_scale */
  int32_t baseline; /* logsum_advantage_baseline */
  logsum_tensor rewards, mask, advantages;
  logsum_tensor mean, std, group_status;
} logsum_group_advantages_args;

static inline logsum_group_advantages_args logsum_group_advantages_args_defaults(void) {
  logsum_group_advantages_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.epsilon = 1e-4;
  return value;
}

LOGSUM_API logsum_status logsum_group_advantages(const logsum_group_advantages_args* args,
                                                 const logsum_context* context);
LOGSUM_API size_t logsum_group_advantages_workspace_size(const logsum_group_advantages_args* args);

#ifdef __cplusplus
}
#endif

#endif
