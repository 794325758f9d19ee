/* SPDX-License-Identifier: Apache-2.0
   Losses of preferences with the gradient of the logits. */
#ifndef LOGSUM_C_PREFERENCE_LOSS_H_
#define LOGSUM_C_PREFERENCE_LOSS_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "logsum/c/context.h"
#include "logsum/c/preference_options.h"
#include "logsum/c/status.h"
#include "logsum/c/tensor.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Indices of logsum_preference_loss_args.metrics, f64 [LOGSUM_PREFERENCE_METRICS]. */
typedef enum logsum_preference_metric {
  LOGSUM_PREFERENCE_PAIR_COUNT = 0,
  LOGSUM_PREFERENCE_BAD_COUNT = 1,
  LOGSUM_PREFERENCE_CHOSEN_REWARD = 2,
  LOGSUM_PREFERENCE_REJECTED_REWARD = 3,
  LOGSUM_PREFERENCE_REWARD_ACCURACY = 4,
  LOGSUM_PREFERENCE_REWARD_MARGIN = 5,
  LOGSUM_PREFERENCE_NLL = 6,
  LOGSUM_PREFERENCE_METRICS = 7
} logsum_preference_metric;

typedef struct logsum_preference_loss_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  logsum_param_f64 kl, normalizer, nll_normalizer, grad_scale;
  int64_t ignore_index;
  int64_t vocab_size;
  logsum_preference_options options;
  logsum_tensor logits, targets, completion_mask, cu_seqlens;
  logsum_tensor ref_logps, ref_per_token_logps, desirable;
  logsum_tensor loss, per_pair_loss, sequence_logps, rewards, per_token_logps;
  logsum_tensor metrics, row_status, grad_logits;
} logsum_preference_loss_args;

static inline logsum_preference_loss_args logsum_preference_loss_args_defaults(void) {
  logsum_preference_loss_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.grad_scale.value = 1.0;
  value.ignore_index = -100;
  value.options.beta = 0.1f;
  value.options.gamma = 0.5f;
  value.options.desirable_weight = value.options.undesirable_weight = 1.0f;
  return value;
}

LOGSUM_API logsum_status logsum_preference_loss(const logsum_preference_loss_args* args,
                                                const logsum_context* context);
LOGSUM_API size_t logsum_preference_loss_workspace_size(const logsum_preference_loss_args* args);

#ifdef __cplusplus
}
#endif

#endif
