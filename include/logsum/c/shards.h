/* SPDX-License-Identifier: Apache-2.0
   measure, merge and draw: rows cut into column shards. */
#ifndef LOGSUM_C_SHARDS_H_
#define LOGSUM_C_SHARDS_H_

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

#define LOGSUM_TILE_COLUMNS 4096
#define LOGSUM_TILE_RECORD_BYTES 24
#define LOGSUM_DRAW_CHOICE_BYTES 32

typedef struct logsum_measure_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t vocab_start;
  int64_t vocab_size;
  int32_t moment;
  logsum_tensor logits, records, targets, target_logits;
} logsum_measure_args;

static inline logsum_measure_args logsum_measure_args_defaults(void) {
  logsum_measure_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.moment = 1;
  return value;
}

LOGSUM_API logsum_status logsum_measure(const logsum_measure_args* args,
                                        const logsum_context* context);
LOGSUM_API size_t logsum_measure_workspace_size(const logsum_measure_args* args);

typedef struct logsum_merge_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  logsum_param_u64 seed, offset;
  int64_t draws;
  int64_t vocab_size;
  int64_t ignore_index;
  const logsum_tensor* shards; /* shard_count of them */
  size_t shard_count;
  const logsum_tensor* target_logits; /* target_logits_count of them */
  size_t target_logits_count;
  logsum_tensor targets, logprobs;
  logsum_tensor lse, entropy, max, argmax, row_status;
  logsum_tensor choices, u;
} logsum_merge_args;

static inline logsum_merge_args logsum_merge_args_defaults(void) {
  logsum_merge_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.draws = 1;
  value.ignore_index = -100;
  return value;
}

LOGSUM_API logsum_status logsum_merge(const logsum_merge_args* args, const logsum_context* context);

typedef struct logsum_draw_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t vocab_start;
  int64_t vocab_size;
  logsum_tensor logits, choices, token, logprob, token_logit;
} logsum_draw_args;

static inline logsum_draw_args logsum_draw_args_defaults(void) {
  logsum_draw_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  return value;
}

LOGSUM_API logsum_status logsum_draw(const logsum_draw_args* args, const logsum_context* context);

#ifdef __cplusplus
}
#endif

#endif
