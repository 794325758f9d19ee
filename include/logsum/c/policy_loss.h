/* SPDX-License-Identifier: Apache-2.0
   The losses of the GRPO family with the gradient of the logits. */
#ifndef LOGSUM_C_POLICY_LOSS_H_
#define LOGSUM_C_POLICY_LOSS_H_

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "logsum/c/context.h"
#include "logsum/c/policy_options.h"
#include "logsum/c/status.h"
#include "logsum/c/tensor.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Indices of logsum_policy_loss_args.metrics, f64 [LOGSUM_POLICY_METRICS]. */
typedef enum logsum_policy_metric {
  LOGSUM_POLICY_TOKEN_COUNT = 0,
  LOGSUM_POLICY_BAD_COUNT = 1,
  LOGSUM_POLICY_CLIP_LOW = 2,
  LOGSUM_POLICY_CLIP_HIGH = 3,
  LOGSUM_POLICY_CLIP_REGION = 4,
  LOGSUM_POLICY_KL = 5,
  LOGSUM_POLICY_ENTROPY = 6,
  LOGSUM_POLICY_RATIO_MIN = 7,
  LOGSUM_POLICY_RATIO_MEAN = 8,
  LOGSUM_POLICY_RATIO_MAX = 9,
  LOGSUM_POLICY_EFFECTIVE_SAMPLE_SIZE = 10,
  LOGSUM_POLICY_METRICS = 11
} logsum_policy_metric;

typedef struct logsum_policy_loss_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  logsum_param_f64 normalizer, entropy_normalizer, grad_scale;
  int64_t ignore_index;
  int64_t vocab_size;
  logsum_policy_options options;
  logsum_tensor logits, targets, advantages, completion_mask, cu_seqlens;
  logsum_tensor old_per_token_logps, ref_per_token_logps, sampling_per_token_logps;
  logsum_tensor importance_weights, entropy_mask;
  logsum_tensor loss, per_token_loss, per_token_logps, per_token_kl, entropy;
  logsum_tensor metrics, row_status, grad_logits;
} logsum_policy_loss_args;

static inline logsum_policy_loss_args logsum_policy_loss_args_defaults(void) {
  const float none = HUGE_VALF;
  logsum_policy_loss_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.grad_scale.value = 1.0;
  value.ignore_index = -100;
  value.options.kl_estimator = LOGSUM_KL_K3;
  value.options.count_empty_sequences = 1;
  value.options.epsilon_low = value.options.epsilon_high = 0.2f;
  value.options.delta = value.options.dual_clip = none;
  value.options.sapo_tau_pos = 1.0f;
  value.options.sapo_tau_neg = 1.05f;
  value.options.vespo_k_pos = value.options.vespo_lambda_neg = 2.0f;
  value.options.vespo_k_neg = value.options.vespo_lambda_pos = 3.0f;
  value.options.log_ratio_clamp = none;
  value.options.kl_input_clamp = value.options.kl_output_clamp = none;
  value.options.off_policy_threshold = none;
  return value;
}

LOGSUM_API logsum_status logsum_policy_loss(const logsum_policy_loss_args* args,
                                            const logsum_context* context);
LOGSUM_API size_t logsum_policy_loss_workspace_size(const logsum_policy_loss_args* args);

#ifdef __cplusplus
}
#endif

#endif
