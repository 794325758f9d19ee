/* SPDX-License-Identifier: Apache-2.0
   k1, k2, k3 per token and their means. */
#ifndef LOGSUM_C_APPROX_KL_H_
#define LOGSUM_C_APPROX_KL_H_

#include <stddef.h>
#include <string.h>

#include "logsum/c/context.h"
#include "logsum/c/status.h"
#include "logsum/c/tensor.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct logsum_approx_kl_args {
  size_t struct_size;
  logsum_tensor per_token_logps, ref_per_token_logps, completion_mask;
  logsum_tensor k1, k2, k3;
  logsum_tensor mean_k1, mean_k2, mean_k3;
  logsum_tensor count, overflow_count;
} logsum_approx_kl_args;

static inline logsum_approx_kl_args logsum_approx_kl_args_defaults(void) {
  logsum_approx_kl_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  return value;
}

LOGSUM_API logsum_status logsum_approx_kl(const logsum_approx_kl_args* args,
                                          const logsum_context* context);
LOGSUM_API size_t logsum_approx_kl_workspace_size(const logsum_approx_kl_args* args);

#ifdef __cplusplus
}
#endif

#endif
