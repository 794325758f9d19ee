/* SPDX-License-Identifier: Apache-2.0
   Which loss of the GRPO family, and its numbers. */
#ifndef LOGSUM_C_POLICY_OPTIONS_H_
#define LOGSUM_C_POLICY_OPTIONS_H_

#include <stdint.h>

#include "logsum/c/status.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum logsum_objective {
  LOGSUM_OBJECTIVE_CLIP = 0,
  LOGSUM_OBJECTIVE_CISPO = 1,
  LOGSUM_OBJECTIVE_SAPO = 2,
  LOGSUM_OBJECTIVE_GMPO = 3,
  LOGSUM_OBJECTIVE_VESPO = 4,
  LOGSUM_OBJECTIVE_REINFORCE = 5
} logsum_objective;

typedef enum logsum_ratio_level {
  LOGSUM_RATIO_TOKEN = 0,
  LOGSUM_RATIO_SEQUENCE = 1
} logsum_ratio_level;

typedef enum logsum_kl_estimator {
  LOGSUM_KL_K1 = 0,
  LOGSUM_KL_K2 = 1,
  LOGSUM_KL_K3 = 2,
  LOGSUM_KL_K3_PLUS = 3
} logsum_kl_estimator;

typedef enum logsum_aggregation {
  LOGSUM_TOKEN_MEAN = 0,
  LOGSUM_SEQUENCE_MEAN = 1,
  LOGSUM_SEQUENCE_SUM_MEAN = 2,
  LOGSUM_CONSTANT = 3
} logsum_aggregation;

typedef enum logsum_cispo_bounds {
  LOGSUM_CISPO_UPPER = 0,
  LOGSUM_CISPO_BOTH = 1
} logsum_cispo_bounds;

typedef enum logsum_compat {
  LOGSUM_COMPAT_TRL = 0,
  LOGSUM_COMPAT_LIGER = 1,
  LOGSUM_COMPAT_VERL = 2
} logsum_compat;

/* policy_options.hpp says what these are; infinity is none. */
typedef struct logsum_policy_options {
  int32_t objective;    /* logsum_objective */
  int32_t ratio_level;  /* logsum_ratio_level */
  int32_t aggregation;  /* logsum_aggregation */
  int32_t kl_estimator; /* logsum_kl_estimator */
  int32_t cispo_bounds; /* logsum_cispo_bounds */
  int32_t use_bias_correction_kl;
  int32_t count_empty_sequences;
  float epsilon_low, epsilon_high, delta, dual_clip;
  float sapo_tau_pos, sapo_tau_neg;
  float vespo_k_pos, vespo_lambda_pos, vespo_k_neg, vespo_lambda_neg;
  float log_ratio_clamp;
  float beta, kl_input_clamp, kl_output_clamp;
  float entropy_coef;
  float off_policy_threshold;
} logsum_policy_options;

/* Sets what a loss_type of TRL's selects ("grpo", "dapo", ...), or what differs between libraries.
 */
LOGSUM_API logsum_status logsum_policy_set_loss_type(logsum_policy_options* options,
                                                     const char* loss_type);
LOGSUM_API logsum_status logsum_policy_set_compat(logsum_policy_options* options, int32_t compat);

#ifdef __cplusplus
}
#endif

#endif
