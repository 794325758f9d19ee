/* SPDX-License-Identifier: Apache-2.0
   The C API from C99: each function once against known answers, the versioned structs, the host's
   executor. */
#include "logsum/logsum.h"

#include <math.h>
#include <stdio.h>

static int failures = 0;

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      printf("%s:%d: %s doesn't hold\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                         \
    }                                                                     \
  } while (0)

#define CHECK_OK(call)                                            \
  do {                                                            \
    const logsum_status status_ = (call);                         \
    if (status_.code != LOGSUM_OK) {                              \
      printf("%s:%d: %s\n", __FILE__, __LINE__, status_.message); \
      ++failures;                                                 \
    }                                                             \
  } while (0)

static logsum_tensor vector_of(void* data, logsum_dtype dtype, int64_t n) {
  return logsum_tensor_contiguous(data, dtype, 1, &n);
}

static logsum_tensor matrix_of(void* data, logsum_dtype dtype, int64_t rows, int64_t columns) {
  const int64_t shape[2] = {rows, columns};
  return logsum_tensor_contiguous(data, dtype, 2, shape);
}

/* Probabilities 1/2, 1/4, 1/8, 1/8 and the same reversed. */
static float logits[2][4];

static void make_logits(void) {
  const float p[4] = {0.5f, 0.25f, 0.125f, 0.125f};
  for (int i = 0; i < 4; ++i) {
    logits[0][i] = logf(p[i]) + 3.0f;
    logits[1][3 - i] = logf(p[i]);
  }
}

static void scores_known_probabilities(void) {
  int32_t targets[2] = {1, 3};
  float logprobs[2] = {9, 9};
  float lse[2] = {9, 9};
  float entropy[2] = {9, 9};
  int64_t argmax[2] = {9, 9};
  logsum_token_logprobs_args args = logsum_token_logprobs_args_defaults();
  args.logits = matrix_of(logits, LOGSUM_F32, 2, 4);
  args.targets = vector_of(targets, LOGSUM_I32, 2);
  args.logprobs = vector_of(logprobs, LOGSUM_F32, 2);
  args.lse = vector_of(lse, LOGSUM_F32, 2);
  args.entropy = vector_of(entropy, LOGSUM_F32, 2);
  args.argmax = vector_of(argmax, LOGSUM_I64, 2);
  CHECK(logsum_token_logprobs_workspace_size(&args) == 2 * LOGSUM_TILE_RECORD_BYTES);
  CHECK_OK(logsum_token_logprobs(&args, NULL));
  CHECK(fabsf(logprobs[0] - logf(0.25f)) < 2e-6f);
  CHECK(fabsf(logprobs[1] - logf(0.5f)) < 2e-6f);
  CHECK(fabsf(lse[0] - 3.0f) < 2e-6f);
  CHECK(fabsf(entropy[1] - 1.75f * logf(2.0f)) < 2e-6f);
  CHECK(argmax[0] == 0 && argmax[1] == 3);
}

static void draws_by_the_callers_uniform(void) {
  double u[2] = {0.6, 0.2};
  int32_t token[2] = {9, 9};
  logsum_sample_args args = logsum_sample_args_defaults();
  args.logits = matrix_of(logits, LOGSUM_F32, 2, 4);
  args.token = vector_of(token, LOGSUM_I32, 2);
  args.u = vector_of(u, LOGSUM_F64, 2);
  CHECK(logsum_sample_workspace_size(&args) > 0);
  CHECK_OK(logsum_sample(&args, NULL));
  CHECK(token[0] == 1 && token[1] == 1);
  args.temperature.value = 0;
  CHECK_OK(logsum_sample(&args, NULL));
  CHECK(token[0] == 0 && token[1] == 3);
}

static void shards_agree_with_the_row(void) {
  union {
    double align;
    unsigned char bytes[LOGSUM_TILE_RECORD_BYTES];
  } record;
  union {
    double align;
    unsigned char bytes[LOGSUM_DRAW_CHOICE_BYTES];
  } choice;
  const int64_t record_shape[3] = {1, 1, LOGSUM_TILE_RECORD_BYTES};
  const int64_t choice_shape[3] = {1, 1, LOGSUM_DRAW_CHOICE_BYTES};
  double u = 0.6;
  int64_t target = 1, token = 9;
  float target_logit = 9, logprob = 9, drawn_logprob = 9;

  logsum_measure_args m = logsum_measure_args_defaults();
  m.logits = matrix_of(logits, LOGSUM_F32, 1, 4);
  m.records = logsum_tensor_contiguous(record.bytes, LOGSUM_U8, 3, record_shape);
  m.targets = vector_of(&target, LOGSUM_I64, 1);
  m.target_logits = vector_of(&target_logit, LOGSUM_F32, 1);
  CHECK_OK(logsum_measure(&m, NULL));

  logsum_merge_args j = logsum_merge_args_defaults();
  j.shards = &m.records;
  j.shard_count = 1;
  j.vocab_size = 4;
  j.targets = m.targets;
  j.target_logits = &m.target_logits;
  j.target_logits_count = 1;
  j.logprobs = vector_of(&logprob, LOGSUM_F32, 1);
  j.choices = logsum_tensor_contiguous(choice.bytes, LOGSUM_U8, 3, choice_shape);
  j.u = matrix_of(&u, LOGSUM_F64, 1, 1);
  CHECK_OK(logsum_merge(&j, NULL));
  CHECK(fabsf(logprob - logf(0.25f)) < 2e-6f);

  logsum_draw_args d = logsum_draw_args_defaults();
  d.logits = m.logits;
  d.choices = j.choices;
  d.token = matrix_of(&token, LOGSUM_I64, 1, 1);
  d.logprob = matrix_of(&drawn_logprob, LOGSUM_F32, 1, 1);
  CHECK_OK(logsum_draw(&d, NULL));
  CHECK(token == 1 && drawn_logprob == logprob);
}

static void structs_are_versioned(void) {
  logsum_sample_args args = logsum_sample_args_defaults();
  struct {
    logsum_sample_args args;
    int64_t from_the_future;
  } newer;
  memset(&newer, 0, sizeof newer);

  args.struct_size = 0;
  CHECK(logsum_sample(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_sample(NULL, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_sample_workspace_size(NULL) == 0);

  float lse = 9;
  int32_t token = 9;
  newer.args = logsum_sample_args_defaults();
  newer.args.struct_size = sizeof newer;
  newer.args.logits = matrix_of(logits, LOGSUM_F32, 1, 4);
  newer.args.token = vector_of(&token, LOGSUM_I32, 1);
  newer.args.lse = vector_of(&lse, LOGSUM_F32, 1);
  CHECK_OK(logsum_sample(&newer.args, NULL));
  newer.from_the_future = 1;
  CHECK(logsum_sample(&newer.args, NULL).code == LOGSUM_UNSUPPORTED);

  /* An older caller's struct ends before lse: it is left alone. */
  newer.from_the_future = 0;
  newer.args.struct_size = offsetof(logsum_sample_args, lse);
  lse = 9;
  CHECK_OK(logsum_sample(&newer.args, NULL));
  CHECK(lse == 9);
}

static int tasks_run = 0;

static int one(void* self) {
  (void)self;
  return 1;
}

static int run_here(void* self, int64_t tasks, logsum_task task, void* argument) {
  for (int64_t i = 0; i < tasks; ++i) task(argument, i);
  tasks_run += (int)tasks;
  return *(const int*)self;
}

static void hosts_pool_is_used(void) {
  int fail = 0;
  int32_t token = 9;
  logsum_executor executor = {&fail, one, run_here};
  logsum_context context = logsum_context_defaults();
  logsum_sample_args args = logsum_sample_args_defaults();
  context.executor = &executor;
  args.logits = matrix_of(logits, LOGSUM_F32, 1, 4);
  args.token = vector_of(&token, LOGSUM_I32, 1);
  CHECK_OK(logsum_sample(&args, &context));
  CHECK(tasks_run > 0 && token >= 0);
  fail = 1;
  CHECK(logsum_sample(&args, &context).code == LOGSUM_INTERNAL);
  executor.run = NULL;
  CHECK(logsum_sample(&args, &context).code == LOGSUM_INVALID_ARGUMENT);
}

static void errors_name_the_argument(void) {
  logsum_sample_args args = logsum_sample_args_defaults();
  args.temperature.value = -1;
  args.logits = matrix_of(logits, LOGSUM_F32, 2, 4);
  int32_t token[2];
  args.token = vector_of(token, LOGSUM_I32, 2);
  const logsum_status status = logsum_sample(&args, NULL);
  CHECK(status.code == LOGSUM_INVALID_ARGUMENT);
  CHECK(strstr(status.message, "temperature is -1") != NULL);
  args.temperature.value = 1;
  args.logits.dtype = 77;
  CHECK(logsum_sample(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
}

int main(void) {
  make_logits();
  scores_known_probabilities();
  draws_by_the_callers_uniform();
  shards_agree_with_the_row();
  structs_are_versioned();
  hosts_pool_is_used();
  errors_name_the_argument();
  printf("logsum %s: %s\n", logsum_version(), failures ? "FAILED" : "ok");
  return failures != 0;
}
