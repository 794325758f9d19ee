/* SPDX-License-Identifier: Apache-2.0
 *
 * logsum's C API (C99). Each function is the C++ function of the same name
 * (include/logsum/<name>.hpp has its contract: shapes, dtypes, error bounds, special values); each
 * struct has the same fields. A header of logsum/c is one operation or family and stands alone;
 * this one is all of them.
 *
 * Start every struct from its _defaults() function: it sets struct_size, which lets fields be
 * appended later, and the defaults. A zeroed logsum_tensor is an absent argument. Nothing throws,
 * prints or aborts.
 */
#ifndef LOGSUM_LOGSUM_H_
#define LOGSUM_LOGSUM_H_

#include "logsum/c/approx_kl.h"
#include "logsum/c/build.h"
#include "logsum/c/context.h"
#include "logsum/c/cross_entropy.h"
#include "logsum/c/devices.h"
#include "logsum/c/distill_loss.h"
#include "logsum/c/group_advantages.h"
#include "logsum/c/importance_weights.h"
#include "logsum/c/logsumexp.h"
#include "logsum/c/policy_loss.h"
#include "logsum/c/policy_options.h"
#include "logsum/c/preference_loss.h"
#include "logsum/c/preference_options.h"
#include "logsum/c/row_status.h"
#include "logsum/c/sample.h"
#include "logsum/c/shards.h"
#include "logsum/c/softmax.h"
#include "logsum/c/softmax_backward.h"
#include "logsum/c/status.h"
#include "logsum/c/tensor.h"
#include "logsum/c/token_logprobs.h"

#endif
