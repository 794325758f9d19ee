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
  CHECK(logsum_measure_workspace_size(&m) == 0); /* on the host */
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

static int close_to(const float* values, const float* wanted, int n) {
  for (int i = 0; i < n; ++i)
    if (!(fabsf(values[i] - wanted[i]) < 2e-6f)) return 0;
  return 1;
}

static void softmax_and_its_gradients(void) {
  const float p[4] = {0.5f, 0.25f, 0.125f, 0.125f};
  const float log_p[4] = {-0.6931472f, -1.3862944f, -2.0794415f, -2.0794415f};
  float out[4];
  int32_t row_status = 9;

  logsum_softmax_args args = logsum_softmax_args_defaults();
  args.logits = vector_of(logits[0], LOGSUM_F32, 4);
  args.output = vector_of(out, LOGSUM_F32, 4);
  args.row_status = logsum_tensor_contiguous(&row_status, LOGSUM_I32, 0, NULL);
  CHECK(logsum_softmax_workspace_size(&args) > 0);
  CHECK_OK(logsum_log_softmax(&args, NULL));
  CHECK(close_to(out, log_p, 4) && row_status == LOGSUM_ROW_OK);

  /* A gradient of 1 at column 0 alone: -p everywhere, 1 more there. */
  float grad_output[4] = {1, 0, 0, 0}, grad[4];
  const float log_softmax_grad[4] = {0.5f, -0.25f, -0.125f, -0.125f};
  logsum_softmax_backward_args b = logsum_softmax_backward_args_defaults();
  b.grad_output = vector_of(grad_output, LOGSUM_F32, 4);
  b.output = args.output;
  b.grad_logits = vector_of(grad, LOGSUM_F32, 4);
  CHECK(logsum_softmax_backward_workspace_size(&b) > 0);
  CHECK_OK(logsum_log_softmax_backward(&b, NULL));
  CHECK(close_to(grad, log_softmax_grad, 4));

  CHECK_OK(logsum_softmax(&args, NULL));
  CHECK(close_to(out, p, 4));
  /* p_j (g_j - p_0) */
  const float softmax_grad[4] = {0.25f, -0.125f, -0.0625f, -0.0625f};
  CHECK_OK(logsum_softmax_backward(&b, NULL));
  CHECK(close_to(grad, softmax_grad, 4));

  /* Along the first dimension of a column vector; a temperature flattens. */
  const int64_t column[2] = {4, 1};
  args.logits = logsum_tensor_contiguous(logits[0], LOGSUM_F32, 2, column);
  args.output = logsum_tensor_contiguous(out, LOGSUM_F32, 2, column);
  args.row_status.dtype = 0;
  args.row_status.data = NULL;
  args.dim = 0;
  CHECK_OK(logsum_softmax(&args, NULL));
  CHECK(close_to(out, p, 4));
  args.temperature.value = 0.5f;
  CHECK_OK(logsum_softmax(&args, NULL));
  CHECK(fabsf(out[0] - 8.0f / 11.0f) < 2e-6f);
}

static void logsumexp_and_its_gradient(void) {
  float lse = 9, grad_output = 2, grad[4];
  logsum_logsumexp_args args = logsum_logsumexp_args_defaults();
  args.logits = vector_of(logits[0], LOGSUM_F32, 4);
  args.lse = logsum_tensor_contiguous(&lse, LOGSUM_F32, 0, NULL);
  CHECK(logsum_logsumexp_workspace_size(&args) >= LOGSUM_TILE_RECORD_BYTES);
  CHECK_OK(logsum_logsumexp(&args, NULL));
  CHECK(fabsf(lse - 3.0f) < 2e-6f);

  const float wanted[4] = {1, 0.5f, 0.25f, 0.25f};
  logsum_logsumexp_backward_args b = logsum_logsumexp_backward_args_defaults();
  b.grad_output = logsum_tensor_contiguous(&grad_output, LOGSUM_F32, 0, NULL);
  b.lse = args.lse;
  b.logits = args.logits;
  b.grad_logits = vector_of(grad, LOGSUM_F32, 4);
  CHECK(logsum_logsumexp_backward_workspace_size(&b) == 0);
  CHECK_OK(logsum_logsumexp_backward(&b, NULL));
  CHECK(close_to(grad, wanted, 4));
}

static void kl_of_two_tokens(void) {
  float logp[2] = {-1, -1}, ref[2] = {-1, -2};
  float k1[2], k2[2], k3[2], mean_k3 = 9;
  const float wanted_k1[2] = {0, 1}, wanted_k2[2] = {0, 0.5f}, wanted_k3[2] = {0, 0.3678794f};
  uint8_t mask[2] = {0, 1};
  int64_t count = 9, overflow_count = 9;
  logsum_approx_kl_args args = logsum_approx_kl_args_defaults();
  args.per_token_logps = vector_of(logp, LOGSUM_F32, 2);
  args.ref_per_token_logps = vector_of(ref, LOGSUM_F32, 2);
  args.completion_mask = vector_of(mask, LOGSUM_BOOL, 2);
  args.k1 = vector_of(k1, LOGSUM_F32, 2);
  args.k2 = vector_of(k2, LOGSUM_F32, 2);
  args.k3 = vector_of(k3, LOGSUM_F32, 2);
  args.mean_k3 = logsum_tensor_contiguous(&mean_k3, LOGSUM_F32, 0, NULL);
  args.count = logsum_tensor_contiguous(&count, LOGSUM_I64, 0, NULL);
  args.overflow_count = logsum_tensor_contiguous(&overflow_count, LOGSUM_I64, 0, NULL);
  CHECK(logsum_approx_kl_workspace_size(&args) > 0);
  CHECK_OK(logsum_approx_kl(&args, NULL));
  CHECK(close_to(k1, wanted_k1, 2) && close_to(k2, wanted_k2, 2) && close_to(k3, wanted_k3, 2));
  CHECK(fabsf(mean_k3 - wanted_k3[1]) < 2e-6f && count == 1 && overflow_count == 0);
  ref[1] = 100;
  CHECK_OK(logsum_approx_kl(&args, NULL));
  CHECK(overflow_count == 1);
}

/* Ratios 1.1 and 1.5 with A = 2: the second is clipped to 1.2. */
static void policy_loss_of_two_tokens(void) {
  const int64_t grad_shape[2] = {2, 4};
  int32_t targets[2] = {1, 3}, row_status[2] = {9, 9};
  float advantage = 2, grad[8], token_loss[2], logps[2];
  float old[2] = {logf(0.25f) - logf(1.1f), logf(0.5f) - logf(1.5f)};
  double loss = 9, metrics[LOGSUM_POLICY_METRICS];
  const float wanted_loss[2] = {-2.2f, -2.4f};
  const float wanted[8] = {0.55f, -0.825f, 0.1375f, 0.1375f, 0, 0, 0, 0};
  logsum_policy_loss_args args = logsum_policy_loss_args_defaults();
  args.logits = matrix_of(logits, LOGSUM_F32, 2, 4); /* one sequence */
  args.targets = vector_of(targets, LOGSUM_I32, 2);
  args.advantages = vector_of(&advantage, LOGSUM_F32, 1);
  args.old_per_token_logps = vector_of(old, LOGSUM_F32, 2);
  args.loss = logsum_tensor_contiguous(&loss, LOGSUM_F64, 0, NULL);
  args.per_token_loss = vector_of(token_loss, LOGSUM_F32, 2);
  args.per_token_logps = vector_of(logps, LOGSUM_F32, 2);
  args.metrics = vector_of(metrics, LOGSUM_F64, LOGSUM_POLICY_METRICS);
  args.row_status = vector_of(row_status, LOGSUM_I32, 2);
  args.grad_logits = logsum_tensor_contiguous(grad, LOGSUM_F32, 2, grad_shape);
  CHECK(logsum_policy_loss_workspace_size(&args) > 0);
  CHECK_OK(logsum_policy_loss(&args, NULL));
  CHECK(fabs(loss + 2.3) < 1e-5);
  CHECK(close_to(token_loss, wanted_loss, 2) && close_to(grad, wanted, 8));
  CHECK(fabsf(logps[0] - logf(0.25f)) < 2e-6f);
  CHECK(row_status[0] == LOGSUM_ROW_OK && row_status[1] == LOGSUM_ROW_OK);
  CHECK(metrics[LOGSUM_POLICY_TOKEN_COUNT] == 2 && metrics[LOGSUM_POLICY_BAD_COUNT] == 0);
  CHECK(metrics[LOGSUM_POLICY_CLIP_HIGH] == 0.5 && metrics[LOGSUM_POLICY_CLIP_LOW] == 0);
  CHECK(fabs(metrics[LOGSUM_POLICY_RATIO_MAX] - 1.5) < 1e-5);

  args.normalizer.value = 4;
  args.grad_scale.value = 10;
  CHECK_OK(logsum_policy_loss(&args, NULL));
  CHECK(fabs(loss + 4.6 / 4) < 1e-5 && fabsf(grad[0] - 2.75f) < 2e-5f);
  args.options.delta = 1.1f;
  CHECK(strstr(logsum_policy_loss(&args, NULL).message, "options.delta is 1.1"));
  args.options.objective = 256;
  CHECK(logsum_policy_loss(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_policy_loss(NULL, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_policy_loss_workspace_size(NULL) == 0);
}

/* All of them go there and come back; what isn't named stays. */
/* p = (1/4, 1/2, …): −log p, smoothed and weighted, and its gradient. */
static void cross_entropy_of_two_tokens(void) {
  const int64_t grad_shape[2] = {2, 4};
  int32_t targets[2] = {1, -7}, row_status[2] = {9, 9};
  float weights[4] = {1, 2, 1, 1}, upstream[2] = {1, 1}, grad[8], token_loss[2], lse[2];
  double loss = 9, z_loss = 9;
  logsum_cross_entropy_args args = logsum_cross_entropy_args_defaults();
  args.logits = matrix_of(logits, LOGSUM_F32, 2, 4);
  args.targets = vector_of(targets, LOGSUM_I32, 2);
  args.loss = logsum_tensor_contiguous(&loss, LOGSUM_F64, 0, NULL);
  args.z_loss = logsum_tensor_contiguous(&z_loss, LOGSUM_F64, 0, NULL);
  args.per_token_loss = vector_of(token_loss, LOGSUM_F32, 2);
  args.lse = vector_of(lse, LOGSUM_F32, 2);
  args.row_status = vector_of(row_status, LOGSUM_I32, 2);
  args.grad_logits = logsum_tensor_contiguous(grad, LOGSUM_F32, 2, grad_shape);
  args.ignore_index = -7;
  CHECK(logsum_cross_entropy_workspace_size(&args) > 0);
  CHECK_OK(logsum_cross_entropy(&args, NULL));
  const double plain = log(4.0);
  CHECK(fabs(loss - plain) < 1e-6 && fabsf(token_loss[0] - (float)plain) < 1e-6f && z_loss == 0);
  CHECK(fabsf(grad[1] + 0.75f) < 1e-6f && grad[4] == 0);
  CHECK(row_status[0] == LOGSUM_ROW_OK && row_status[1] == LOGSUM_ROW_IGNORED);

  args.class_weights = vector_of(weights, LOGSUM_F32, 4);
  args.reduction = LOGSUM_REDUCTION_SUM;
  CHECK_OK(logsum_cross_entropy(&args, NULL));
  CHECK(fabs(loss - 2 * plain) < 1e-6 && fabsf(grad[1] + 1.5f) < 1e-6f);
  args.lse_square_scale = 0.5f;
  CHECK_OK(logsum_cross_entropy(&args, NULL));
  CHECK(fabs(z_loss - 0.5 * (double)lse[0] * (double)lse[0]) < 1e-6);
  args.label_smoothing = 0.5f;
  args.softcap = 2;
  args.grad_scale.value = 0;
  CHECK_OK(logsum_cross_entropy(&args, NULL));
  CHECK(loss != 2 * plain && grad[1] == 0);
  args.grad_scale.value = 1;
  upstream[0] = 0;
  args.grad_loss = vector_of(upstream, LOGSUM_F32, 2);
  CHECK_OK(logsum_cross_entropy(&args, NULL));
  CHECK(grad[1] == 0);
  args.normalizer.value = 3;
  CHECK(strstr(logsum_cross_entropy(&args, NULL).message, "normalizer is given"));
  args.normalizer.value = 0;
  args.vocab_size = 5;
  CHECK(strstr(logsum_cross_entropy(&args, NULL).message, "vocab_size is 5"));
  CHECK(logsum_cross_entropy(NULL, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_cross_entropy_workspace_size(NULL) == 0);
}

static void policy_options_are_set_by_name(void) {
  logsum_policy_options options = {LOGSUM_OBJECTIVE_SAPO,
                                   LOGSUM_RATIO_TOKEN,
                                   LOGSUM_CONSTANT,
                                   LOGSUM_KL_K2,
                                   LOGSUM_CISPO_BOTH,
                                   1,
                                   0,
                                   0.01f,
                                   0.02f,
                                   0.03f,
                                   0.04f,
                                   0.05f,
                                   0.06f,
                                   0.07f,
                                   0.08f,
                                   0.09f,
                                   0.10f,
                                   0.11f,
                                   0.12f,
                                   0.13f,
                                   0.14f,
                                   0.15f,
                                   0.16f};
  logsum_policy_options wanted = options;
  wanted.objective = LOGSUM_OBJECTIVE_CLIP;
  wanted.ratio_level = LOGSUM_RATIO_SEQUENCE;
  wanted.aggregation = LOGSUM_SEQUENCE_MEAN;
  CHECK_OK(logsum_policy_set_loss_type(&options, "gspo"));
  CHECK(memcmp(&options, &wanted, sizeof options) == 0);
  CHECK(logsum_policy_set_loss_type(&options, "dppo").code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_policy_set_compat(&options, 256).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(memcmp(&options, &wanted, sizeof options) == 0);
  CHECK(logsum_policy_set_loss_type(NULL, "gspo").code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_policy_set_compat(NULL, 0).code == LOGSUM_INVALID_ARGUMENT);

  const logsum_policy_options defaults = logsum_policy_loss_args_defaults().options;
  options = defaults;
  CHECK_OK(logsum_policy_set_compat(&options, LOGSUM_COMPAT_VERL));
  CHECK(options.dual_clip == 3 && options.cispo_bounds == LOGSUM_CISPO_BOTH);
  /* The defaults of C are those of C++, which this sets. */
  CHECK_OK(logsum_policy_set_compat(&options, LOGSUM_COMPAT_TRL));
  CHECK_OK(logsum_policy_set_loss_type(&options, "dapo"));
  CHECK(memcmp(&options, &defaults, sizeof options) == 0);
}

/* One token per sequence: log-probs of 1/4 and 1/2 at beta 1 leave odds of 1 to 2. */
static void preference_loss_of_two_sequences(void) {
  const int64_t shape[3] = {2, 1, 4};
  int32_t targets[2] = {1, 3}, row_status[2] = {9, 9};
  uint8_t desirable[2] = {0, 1};
  float grad[8], ref[2] = {0, 0}, pair_loss[2], sums[2], rewards[2];
  double loss = 9, metrics[LOGSUM_PREFERENCE_METRICS];
  logsum_preference_loss_args args = logsum_preference_loss_args_defaults();
  args.logits = logsum_tensor_contiguous(logits, LOGSUM_F32, 3, shape);
  args.targets = logsum_tensor_contiguous(targets, LOGSUM_I32, 2, shape);
  args.ref_logps = vector_of(ref, LOGSUM_F32, 2);
  args.options.beta = 1;
  args.loss = logsum_tensor_contiguous(&loss, LOGSUM_F64, 0, NULL);
  args.per_pair_loss = vector_of(pair_loss, LOGSUM_F32, 1);
  args.sequence_logps = vector_of(sums, LOGSUM_F32, 2);
  args.rewards = vector_of(rewards, LOGSUM_F32, 2);
  args.metrics = vector_of(metrics, LOGSUM_F64, LOGSUM_PREFERENCE_METRICS);
  args.row_status = logsum_tensor_contiguous(row_status, LOGSUM_I32, 2, shape);
  args.grad_logits = logsum_tensor_contiguous(grad, LOGSUM_F32, 3, shape);
  CHECK(logsum_preference_loss_workspace_size(&args) > 0);
  CHECK_OK(logsum_preference_loss(&args, NULL));
  CHECK(fabs(loss - log(3)) < 1e-6 && fabsf(pair_loss[0] - logf(3)) < 1e-6f);
  CHECK(fabsf(sums[0] - logf(0.25f)) < 2e-6f && fabsf(rewards[1] - logf(0.5f)) < 2e-6f);
  CHECK(fabsf(grad[1] + 2.0f / 3 * 0.75f) < 2e-6f && fabsf(grad[7] - 2.0f / 3 * 0.5f) < 2e-6f);
  CHECK(row_status[0] == LOGSUM_ROW_OK && row_status[1] == LOGSUM_ROW_OK);
  CHECK(metrics[LOGSUM_PREFERENCE_PAIR_COUNT] == 1 && metrics[LOGSUM_PREFERENCE_BAD_COUNT] == 0);
  CHECK(metrics[LOGSUM_PREFERENCE_REWARD_ACCURACY] == 0);
  CHECK(fabs(metrics[LOGSUM_PREFERENCE_REWARD_MARGIN] + log(2)) < 1e-5);

  args.per_pair_loss.shape[0] = 2;
  args.per_pair_loss.data = pair_loss;
  args.desirable = vector_of(desirable, LOGSUM_U8, 2);
  args.options.loss = LOGSUM_PREFERENCE_KTO;
  args.options.undesirable_weight = 3;
  args.kl.value = log(2);
  CHECK_OK(logsum_preference_loss(&args, NULL)); /* odds of 1/8 and 1/4 to 1 */
  CHECK(fabsf(pair_loss[0] - 3 / 9.0f) < 1e-6f && fabsf(pair_loss[1] - 4 / 5.0f) < 1e-6f);
  memset(&args.ref_logps, 0, sizeof args.ref_logps);
  CHECK(strstr(logsum_preference_loss(&args, NULL).message, "ref_logps is missing"));
  args.options.loss = 256;
  CHECK(logsum_preference_loss(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_preference_loss(NULL, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_preference_loss_workspace_size(NULL) == 0);
}

/* All of them go there and come back; what isn't named stays. */
static void preference_options_are_set_by_name(void) {
  logsum_preference_options options = {
      LOGSUM_PREFERENCE_HINGE, 0, 1, 0.01f, 0.02f, 0.03f, 0.04f, 0.05f, 0.06f};
  logsum_preference_options wanted = options;
  wanted.loss = LOGSUM_PREFERENCE_ORPO;
  wanted.length_average = 1;
  wanted.nll_coef = 1;
  CHECK_OK(logsum_preference_set_loss_type(&options, "orpo"));
  CHECK(memcmp(&options, &wanted, sizeof options) == 0);
  CHECK(logsum_preference_set_loss_type(&options, "cpo").code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_preference_set_loss_type(NULL, "kto").code == LOGSUM_INVALID_ARGUMENT);
  CHECK(memcmp(&options, &wanted, sizeof options) == 0);
  options = logsum_preference_loss_args_defaults().options;
  CHECK(options.beta == 0.1f && options.gamma == 0.5f && options.desirable_weight == 1);
}

/* A teacher of 1/2, 1/4, 1/8, 1/8 and a student of the same reversed. */
static void distill_loss_of_a_pair(void) {
  const float wanted[4] = {-0.375f, -0.125f, 0.125f, 0.375f};
  float grad[4], opposite[4], token_loss = 9;
  int32_t row_status = 9;
  double loss = 9;
  logsum_distill_loss_args args = logsum_distill_loss_args_defaults();
  args.student_logits = matrix_of(logits[1], LOGSUM_F32, 1, 4);
  args.teacher_logits = matrix_of(logits[0], LOGSUM_F32, 1, 4);
  args.loss = logsum_tensor_contiguous(&loss, LOGSUM_F64, 0, NULL);
  args.per_token_loss = vector_of(&token_loss, LOGSUM_F32, 1);
  args.row_status = vector_of(&row_status, LOGSUM_I32, 1);
  args.grad_student = matrix_of(grad, LOGSUM_F32, 1, 4);
  args.grad_teacher = matrix_of(opposite, LOGSUM_F32, 1, 4);
  CHECK(logsum_distill_loss_workspace_size(&args) > 0);
  CHECK_OK(logsum_distill_loss(&args, NULL));
  CHECK(fabs(loss - 0.141703) < 1e-5 && fabsf(token_loss - 0.141703f) < 1e-5f);
  CHECK(row_status == LOGSUM_ROW_OK);

  args.divergence = LOGSUM_FORWARD_KL;
  CHECK_OK(logsum_distill_loss(&args, NULL));
  CHECK(fabs(loss - 0.606504) < 1e-5 && close_to(grad, wanted, 4));
  args.divergence = LOGSUM_REVERSE_KL;
  args.normalizer.value = 4;
  args.grad_scale.value = -4;
  CHECK_OK(logsum_distill_loss(&args, NULL));
  CHECK(fabs(loss - 0.606504 / 4) < 1e-5 && close_to(opposite, wanted, 4));

  args.divergence = LOGSUM_JSD;
  args.beta = 1;
  CHECK(strstr(logsum_distill_loss(&args, NULL).message, "beta is 1, must be in"));
  args.divergence = 256;
  CHECK(logsum_distill_loss(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_distill_loss(NULL, NULL).code == LOGSUM_INVALID_ARGUMENT);
  CHECK(logsum_distill_loss_workspace_size(NULL) == 0);
}

static void advantages_of_a_group(void) {
  float rewards[3] = {1, 2, 6}, advantages[3], mean = 9, std = 9;
  const float wanted[3] = {-0.5f, -0.25f, 0.75f}, wanted_rloo[3] = {-3, -1.5f, 4.5f};
  uint8_t mask[3] = {1, 1, 1};
  int32_t group_status = 9;
  logsum_group_advantages_args args = logsum_group_advantages_args_defaults();
  CHECK(args.epsilon == 1e-4 && args.scale == LOGSUM_ADVANTAGE_SCALE_GROUP);
  args.rewards = vector_of(rewards, LOGSUM_F32, 3);
  args.mask = vector_of(mask, LOGSUM_U8, 3);
  args.advantages = vector_of(advantages, LOGSUM_F32, 3);
  args.mean = logsum_tensor_contiguous(&mean, LOGSUM_F32, 0, NULL);
  args.std = logsum_tensor_contiguous(&std, LOGSUM_F32, 0, NULL);
  args.group_status = logsum_tensor_contiguous(&group_status, LOGSUM_I32, 0, NULL);
  args.epsilon = 4 - sqrt(7);
  CHECK(logsum_group_advantages_workspace_size(&args) == 0);
  CHECK_OK(logsum_group_advantages(&args, NULL));
  CHECK(close_to(advantages, wanted, 3) && mean == 3 && fabsf(std - 2.6457513f) < 1e-6f);
  CHECK(group_status == LOGSUM_ROW_OK);
  args.scale = LOGSUM_ADVANTAGE_SCALE_BATCH;
  CHECK(logsum_group_advantages_workspace_size(&args) > 0);
  args.scale = LOGSUM_ADVANTAGE_SCALE_NONE;
  args.baseline = LOGSUM_ADVANTAGE_BASELINE_LEAVE_ONE_OUT;
  CHECK_OK(logsum_group_advantages(&args, NULL));
  CHECK(close_to(advantages, wanted_rloo, 3));
  args.scale = 3;
  CHECK(strstr(logsum_group_advantages(&args, NULL).message, "scale is 3"));
}

static void weights_of_two_sequences(void) {
  float old[3] = {-1, -2, -1}, sampling[3] = {-1.5f, -2.25f, -3}, weights[3];
  const float wanted[3] = {2.117f, 2.117f, 0}, wanted_tokens[3] = {1.6487213f, 1.2840254f, 3};
  uint8_t mask[3] = {1, 1, 1};
  int32_t cu_seqlens[3] = {0, 2, 3};
  int64_t count = 9;
  float effective = 9, mean = 9, clipped = 9;
  logsum_importance_weights_args args = logsum_importance_weights_args_defaults();
  args.old_per_token_logps = vector_of(old, LOGSUM_F32, 3);
  args.sampling_per_token_logps = vector_of(sampling, LOGSUM_F32, 3);
  args.completion_mask = vector_of(mask, LOGSUM_BOOL, 3);
  args.cu_seqlens = vector_of(cu_seqlens, LOGSUM_I32, 3);
  args.weights = vector_of(weights, LOGSUM_F32, 3);
  CHECK(logsum_importance_weights_workspace_size(&args) == 0);
  args.count = logsum_tensor_contiguous(&count, LOGSUM_I64, 0, NULL);
  args.effective_sample_size = logsum_tensor_contiguous(&effective, LOGSUM_F32, 0, NULL);
  args.mean_weight = logsum_tensor_contiguous(&mean, LOGSUM_F32, 0, NULL);
  args.clipped_fraction = logsum_tensor_contiguous(&clipped, LOGSUM_F32, 0, NULL);
  CHECK(logsum_importance_weights_workspace_size(&args) > 0);
  CHECK_OK(logsum_importance_weights(&args, NULL));
  CHECK(close_to(weights, wanted, 3) && count == 3 && fabsf(effective - 2) < 1e-6f);
  CHECK(fabsf(mean - 2 * 2.117f / 3) < 1e-6f && fabsf(clipped - 1.0f / 3) < 1e-6f);
  args.level = LOGSUM_IMPORTANCE_LEVEL_TOKEN;
  args.mode = LOGSUM_IMPORTANCE_MODE_TRUNCATE;
  CHECK_OK(logsum_importance_weights(&args, NULL));
  CHECK(close_to(weights, wanted_tokens, 3));
  args.clip_min = 4;
  CHECK(strstr(logsum_importance_weights(&args, NULL).message, "clip_min is 4 and clip_max 3"));
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
  logsum_context context = logsum_context_defaults();
  context.struct_size = 3;
  args.struct_size = sizeof args;
  CHECK(strstr(logsum_sample(&args, &context).message, "context.struct_size is 3"));
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

static void backends_and_targets_are_listed(void) {
  logsum_choice choices[8];
  size_t count = logsum_backends(choices, 8);
  CHECK(count >= 2 && count <= 8 && logsum_backends(NULL, 0) == count);
  for (size_t i = 0; i < count; ++i)
    CHECK((choices[i].id == LOGSUM_BACKEND_CPU) == (strcmp(choices[i].name, "cpu") == 0));
  choices[1].id = 99;
  CHECK(logsum_simd_targets(choices, 1) >= 4 && choices[1].id == 99);
  count = logsum_simd_targets(choices, 8);
  for (size_t i = 0; i < count; ++i) {
    logsum_context context = logsum_context_defaults();
    context.simd = choices[i].id;
    float lse[2];
    logsum_token_logprobs_args args = logsum_token_logprobs_args_defaults();
    args.logits = matrix_of(logits, LOGSUM_F32, 2, 4);
    args.lse = vector_of(lse, LOGSUM_F32, 2);
    const int works = logsum_token_logprobs(&args, &context).code == LOGSUM_OK;
    CHECK(works == (choices[i].available != 0));
  }
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

static void nonsense_is_refused(void) {
  int32_t token[2];
  float lse[2];
  logsum_sample_args args = logsum_sample_args_defaults();
  logsum_context context = logsum_context_defaults();
  args.logits = matrix_of(logits, LOGSUM_F32, 2, 4);
  args.token = vector_of(token, LOGSUM_I32, 2);
  /* Whole numbers that would be valid in eight bits. */
  args.logits.dtype = 256 + LOGSUM_BF16;
  CHECK(logsum_sample(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
  args.logits.dtype = LOGSUM_F32;
  context.backend = 256 + LOGSUM_BACKEND_CPU;
  CHECK(logsum_sample(&args, &context).code == LOGSUM_UNSUPPORTED);
  context.backend = LOGSUM_BACKEND_AUTOMATIC;
  context.simd = 256 + LOGSUM_SIMD_PORTABLE;
  CHECK(logsum_sample(&args, &context).code == LOGSUM_UNSUPPORTED);
  /* No shape, no arrays. */
  args.logits = logsum_tensor_contiguous(logits, LOGSUM_F32, 2, NULL);
  CHECK(logsum_sample(&args, NULL).code == LOGSUM_INVALID_ARGUMENT);
  logsum_merge_args merge = logsum_merge_args_defaults();
  merge.shard_count = 3;
  merge.vocab_size = 4;
  merge.lse = vector_of(lse, LOGSUM_F32, 2);
  logsum_status status = logsum_merge(&merge, NULL);
  CHECK(status.code == LOGSUM_INVALID_ARGUMENT && strstr(status.message, "shards is null"));
  merge.shard_count = 0;
  merge.target_logits_count = 2;
  status = logsum_merge(&merge, NULL);
  CHECK(status.code == LOGSUM_INVALID_ARGUMENT && strstr(status.message, "target_logits is null"));
}

static void a_gpu_is_described_or_refused(void) {
  logsum_device_info info;
  const logsum_status status = logsum_cuda_device(0, &info);
  if (status.code == LOGSUM_OK)
    CHECK(info.capability >= 50 && info.multiprocessors > 0 && info.name[0] != 0);
  else
    CHECK(status.code == LOGSUM_UNSUPPORTED && status.message[0] != 0);
}

int main(void) {
  make_logits();
  a_gpu_is_described_or_refused();
  scores_known_probabilities();
  draws_by_the_callers_uniform();
  shards_agree_with_the_row();
  softmax_and_its_gradients();
  logsumexp_and_its_gradient();
  kl_of_two_tokens();
  policy_loss_of_two_tokens();
  cross_entropy_of_two_tokens();
  preference_loss_of_two_sequences();
  preference_options_are_set_by_name();
  policy_options_are_set_by_name();
  distill_loss_of_a_pair();
  advantages_of_a_group();
  weights_of_two_sequences();
  structs_are_versioned();
  backends_and_targets_are_listed();
  hosts_pool_is_used();
  errors_name_the_argument();
  nonsense_is_refused();
  printf("logsum %s: %s\n", logsum_version(), failures ? "FAILED" : "ok");
  return failures != 0;
}
