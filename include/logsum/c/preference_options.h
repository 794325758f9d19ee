/* SPDX-License-Identifier: Apache-2.0
   Which loss of preferences, and its numbers. */
#ifndef LOGSUM_C_PREFERENCE_OPTIONS_H_
#define LOGSUM_C_PREFERENCE_OPTIONS_H_

#include <stdint.h>

#include "logsum/c/status.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* preference_options.hpp says what these are. */
typedef enum logsum_preference_loss_kind {
  LOGSUM_PREFERENCE_SIGMOID = 0,
  LOGSUM_PREFERENCE_HINGE = 1,
  LOGSUM_PREFERENCE_IPO = 2,
  LOGSUM_PREFERENCE_SIMPO = 3,
  LOGSUM_PREFERENCE_ORPO = 4,
  LOGSUM_PREFERENCE_KTO = 5
} logsum_preference_loss_kind;

typedef struct logsum_preference_options {
  int32_t loss; /* logsum_preference_loss_kind */
  int32_t length_average;
  int32_t reference_free;
  float beta, label_smoothing, gamma;
  float desirable_weight, undesirable_weight;
  float nll_coef;
} logsum_preference_options;

/* Sets what a loss has in TRL ("sigmoid", "hinge", "ipo", "simpo", "orpo", "kto"). */
LOGSUM_API logsum_status logsum_preference_set_loss_type(logsum_preference_options* options,
                                                         const char* loss_type);

#ifdef __cplusplus
}
#endif

#endif
