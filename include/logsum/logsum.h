/* SPDX-License-Identifier: Apache-2.0
 *
 * logsum's C API (C99). Each function is the C++ function of the same name
 * (include/logsum/<name>.hpp has its contract: shapes, dtypes, error bounds, special values); each
 * struct has the same fields.
 *
 * Start every struct from its _defaults() function: it sets struct_size, which lets fields be
 * appended later, and the defaults. A zeroed logsum_tensor is an absent argument. Nothing throws,
 * prints or aborts.
 */
#ifndef LOGSUM_LOGSUM_H_
#define LOGSUM_LOGSUM_H_

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum logsum_code {
  LOGSUM_OK = 0,
  LOGSUM_INVALID_ARGUMENT = 1,
  LOGSUM_UNSUPPORTED = 2,
  LOGSUM_OUT_OF_MEMORY = 3,
  LOGSUM_INTERNAL = 4
} logsum_code;

/* The message names the argument, what it was and what is allowed; empty when ok. */
typedef struct logsum_status {
  logsum_code code;
  char message[300];
} logsum_status;

typedef enum logsum_dtype {
  LOGSUM_F32 = 0,
  LOGSUM_F16 = 1,
  LOGSUM_BF16 = 2,
  LOGSUM_F64 = 3,
  LOGSUM_I32 = 4,
  LOGSUM_I64 = 5,
  LOGSUM_U8 = 6,
  LOGSUM_BOOL = 7
} logsum_dtype;

/* Per-row status: values of row_status outputs. */
typedef enum logsum_row_status {
  LOGSUM_ROW_OK = 0,
  LOGSUM_ROW_IGNORED = 1,
  LOGSUM_ROW_EMPTY = 2,
  LOGSUM_ROW_NAN = 3,
  LOGSUM_ROW_POS_INF = 4,
  LOGSUM_ROW_BAD_TARGET = 5,
  LOGSUM_ROW_BAD_PARAMETER = 6,
  LOGSUM_ROW_OVERFLOW = 7
} logsum_row_status;

#define LOGSUM_MAX_RANK 8
#define LOGSUM_TILE_COLUMNS 4096
#define LOGSUM_TILE_RECORD_BYTES 24
#define LOGSUM_DRAW_CHOICE_BYTES 32

/* A view: owns nothing. device_type is DLPack's (1: CPU, 2: CUDA; 0 counts as CPU). Strides are in
 * elements. */
typedef struct logsum_tensor {
  void* data;
  int32_t dtype; /* logsum_dtype */
  int32_t device_type;
  int32_t device_index;
  int32_t rank;
  int64_t shape[LOGSUM_MAX_RANK];
  int64_t strides[LOGSUM_MAX_RANK];
} logsum_tensor;

/* Row-major and contiguous. A rank outside [0, LOGSUM_MAX_RANK], or a null shape, makes a tensor
 * that every call refuses. */
LOGSUM_API logsum_tensor logsum_tensor_contiguous(void* data, logsum_dtype dtype, int32_t rank,
                                                  const int64_t* shape);

/* One value for all rows, or a tensor with one per row. */
typedef struct logsum_param_f32 {
  float value;
  logsum_tensor tensor;
} logsum_param_f32;

typedef struct logsum_param_u64 {
  uint64_t value;
  logsum_tensor tensor;
} logsum_param_u64;

typedef struct logsum_param_f64 {
  double value;
  logsum_tensor tensor;
} logsum_param_f64;

typedef enum logsum_backend {
  LOGSUM_BACKEND_AUTOMATIC = 0,
  LOGSUM_BACKEND_REFERENCE = 1,
  LOGSUM_BACKEND_CPU = 2,
  LOGSUM_BACKEND_CUDA = 3
} logsum_backend;

typedef enum logsum_simd_target {
  LOGSUM_SIMD_AUTOMATIC = 0,
  LOGSUM_SIMD_AVX512 = 1,
  LOGSUM_SIMD_AVX2 = 2,
  LOGSUM_SIMD_NEON = 3,
  LOGSUM_SIMD_PORTABLE = 4
} logsum_simd_target;

/* context.hpp says what these are. */
typedef enum logsum_determinism {
  LOGSUM_PER_DEVICE = 0,
  LOGSUM_CROSS_DEVICE = 1
} logsum_determinism;

typedef enum logsum_schedule {
  LOGSUM_SCHEDULE_AUTOMATIC = 0,
  LOGSUM_SCHEDULE_SPANS = 1,
  LOGSUM_SCHEDULE_CLUSTERS = 2,
  LOGSUM_SCHEDULE_RINGS = 3
} logsum_schedule;

typedef void (*logsum_task)(void* argument, int64_t i);

/* The host's thread pool: run calls task(argument, i) once for each i in [0, tasks) and returns
 * when all have returned, with 0 if they were all run. */
typedef struct logsum_executor {
  void* self;
  int (*concurrency)(void* self);
  int (*run)(void* self, int64_t tasks, logsum_task task, void* argument);
} logsum_executor;

/* How a call runs. A null logsum_context* means all defaults. */
typedef struct logsum_context {
  size_t struct_size;
  void* workspace; /* null: allocated for the length of the call; on a GPU zero before first use */
  size_t workspace_size;
  const logsum_executor* executor; /* null: oneTBB */
  int32_t backend;                 /* logsum_backend */
  int32_t simd;                    /* logsum_simd_target */
  int32_t determinism;             /* logsum_determinism */
  int32_t schedule;                /* logsum_schedule */
  void* stream;                    /* CUDA: a cudaStream_t */
} logsum_context;

static inline logsum_context logsum_context_defaults(void) {
  logsum_context value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  return value;
}

/* "0.1.0" */
LOGSUM_API const char* logsum_version(void);

/* What this build knows, in the order of preference; `available`: it can be used on this machine.
 */
typedef struct logsum_choice {
  int32_t id; /* logsum_backend or logsum_simd_target */
  const char* name;
  int available;
} logsum_choice;

/* Write the first `capacity` entries to `choices` (null where capacity is 0); return how many there
 * are. */
LOGSUM_API size_t logsum_backends(logsum_choice* choices, size_t capacity);
LOGSUM_API size_t logsum_simd_targets(logsum_choice* choices, size_t capacity);

/* devices.hpp says what these are. */
typedef struct logsum_device_info {
  char name[256];
  int32_t capability; /* 90: compute capability 9.0 */
  int32_t multiprocessors;
  int32_t shared_bytes_per_block;
  int32_t clusters[5]; /* of 1, 2, 4, 8 and 16 blocks */
  size_t l2_bytes;
  size_t memory_bytes;
} logsum_device_info;

/* LOGSUM_UNSUPPORTED where the backend, the driver or any GPU is missing, and says which. */
LOGSUM_API logsum_status logsum_cuda_device(int32_t index, logsum_device_info* info);

typedef struct logsum_token_logprobs_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t ignore_index;
  int64_t vocab_size;
  logsum_tensor logits, targets, logprobs;
  logsum_tensor lse, entropy, argmax, rank, top_ids, top_logprobs, row_status;
} logsum_token_logprobs_args;

static inline logsum_token_logprobs_args logsum_token_logprobs_args_defaults(void) {
  logsum_token_logprobs_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.ignore_index = -100;
  return value;
}

LOGSUM_API logsum_status logsum_token_logprobs(const logsum_token_logprobs_args* args,
                                               const logsum_context* context);
LOGSUM_API size_t logsum_token_logprobs_workspace_size(const logsum_token_logprobs_args* args);

typedef struct logsum_sample_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  logsum_param_u64 seed, offset;
  int64_t draws;
  int64_t vocab_size;
  logsum_tensor logits, indices, u;
  logsum_tensor token, logprob, raw_logprob;
  logsum_tensor lse, entropy, row_status;
} logsum_sample_args;

static inline logsum_sample_args logsum_sample_args_defaults(void) {
  logsum_sample_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.draws = 1;
  return value;
}

LOGSUM_API logsum_status logsum_sample(const logsum_sample_args* args,
                                       const logsum_context* context);
LOGSUM_API size_t logsum_sample_workspace_size(const logsum_sample_args* args);

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

typedef struct logsum_softmax_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor logits, output, row_status;
} logsum_softmax_args;

static inline logsum_softmax_args logsum_softmax_args_defaults(void) {
  logsum_softmax_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_softmax(const logsum_softmax_args* args,
                                        const logsum_context* context);
LOGSUM_API logsum_status logsum_log_softmax(const logsum_softmax_args* args,
                                            const logsum_context* context);
LOGSUM_API size_t logsum_softmax_workspace_size(const logsum_softmax_args* args);

typedef struct logsum_softmax_backward_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor grad_output, output, grad_logits, row_status;
} logsum_softmax_backward_args;

static inline logsum_softmax_backward_args logsum_softmax_backward_args_defaults(void) {
  logsum_softmax_backward_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_softmax_backward(const logsum_softmax_backward_args* args,
                                                 const logsum_context* context);
LOGSUM_API logsum_status logsum_log_softmax_backward(const logsum_softmax_backward_args* args,
                                                     const logsum_context* context);
LOGSUM_API size_t logsum_softmax_backward_workspace_size(const logsum_softmax_backward_args* args);

typedef struct logsum_logsumexp_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor logits, lse, row_status;
} logsum_logsumexp_args;

static inline logsum_logsumexp_args logsum_logsumexp_args_defaults(void) {
  logsum_logsumexp_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_logsumexp(const logsum_logsumexp_args* args,
                                          const logsum_context* context);
LOGSUM_API size_t logsum_logsumexp_workspace_size(const logsum_logsumexp_args* args);

typedef struct logsum_logsumexp_backward_args {
  size_t struct_size;
  logsum_param_f32 temperature;
  int64_t dim;
  logsum_tensor grad_output, lse, logits, grad_logits;
} logsum_logsumexp_backward_args;

static inline logsum_logsumexp_backward_args logsum_logsumexp_backward_args_defaults(void) {
  logsum_logsumexp_backward_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.temperature.value = 1.0f;
  value.dim = -1;
  return value;
}

LOGSUM_API logsum_status logsum_logsumexp_backward(const logsum_logsumexp_backward_args* args,
                                                   const logsum_context* context);
LOGSUM_API size_t
logsum_logsumexp_backward_workspace_size(const logsum_logsumexp_backward_args* args);

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

typedef enum logsum_reduction {
  LOGSUM_REDUCTION_MEAN = 0,
  LOGSUM_REDUCTION_SUM = 1,
  LOGSUM_REDUCTION_NONE = 2
} logsum_reduction;

typedef struct logsum_cross_entropy_args {
  size_t struct_size;
  logsum_param_f64 normalizer, grad_scale;
  int64_t ignore_index;
  int64_t vocab_size;
  int32_t reduction; /* logsum_reduction */
  float label_smoothing, lse_square_scale, softcap;
  logsum_tensor logits, targets, class_weights, grad_loss;
  logsum_tensor loss, z_loss, per_token_loss, lse, row_status, grad_logits;
} logsum_cross_entropy_args;

static inline logsum_cross_entropy_args logsum_cross_entropy_args_defaults(void) {
  logsum_cross_entropy_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.grad_scale.value = 1.0;
  value.ignore_index = -100;
  return value;
}

LOGSUM_API logsum_status logsum_cross_entropy(const logsum_cross_entropy_args* args,
                                              const logsum_context* context);
LOGSUM_API size_t logsum_cross_entropy_workspace_size(const logsum_cross_entropy_args* args);

/* preference_options.hpp says what these are. */
typedef enum logsum_preference_loss_kind {
  LOGSUM_PREFERENCE_SIGMOID = 0,
  LOGSUM_PREFERENCE_HINGE = 1,
  LOGSUM_PREFERENCE_IPO = 2,
  LOGSUM_PREFERENCE_SIMPO = 3,
  LOGSUM_PREFERENCE_ORPO = 4,
  LOGSUM_PREFERENCE_KTO = 5
} logsum_preference_loss_kind;

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

typedef enum logsum_divergence {
  LOGSUM_FORWARD_KL = 0,
  LOGSUM_REVERSE_KL = 1,
  LOGSUM_JSD = 2
} logsum_divergence;

typedef struct logsum_distill_loss_args {
  size_t struct_size;
  logsum_param_f32 student_temperature, teacher_temperature;
  logsum_param_f64 normalizer, grad_scale;
  int64_t vocab_size;
  int32_t divergence; /* logsum_divergence */
  float beta;
  logsum_tensor student_logits, teacher_logits, completion_mask;
  logsum_tensor loss, per_token_loss, row_status, grad_student, grad_teacher;
} logsum_distill_loss_args;

static inline logsum_distill_loss_args logsum_distill_loss_args_defaults(void) {
  logsum_distill_loss_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.student_temperature.value = value.teacher_temperature.value = 1.0f;
  value.grad_scale.value = 1.0;
  value.divergence = LOGSUM_JSD;
  value.beta = 0.5f;
  return value;
}

LOGSUM_API logsum_status logsum_distill_loss(const logsum_distill_loss_args* args,
                                             const logsum_context* context);
LOGSUM_API size_t logsum_distill_loss_workspace_size(const logsum_distill_loss_args* args);

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

typedef enum logsum_importance_level {
  LOGSUM_IMPORTANCE_LEVEL_TOKEN = 0,
  LOGSUM_IMPORTANCE_LEVEL_SEQUENCE = 1
} logsum_importance_level;

typedef enum logsum_importance_mode {
  LOGSUM_IMPORTANCE_MODE_TRUNCATE = 0,
  LOGSUM_IMPORTANCE_MODE_MASK = 1,
  LOGSUM_IMPORTANCE_MODE_NONE = 2
} logsum_importance_mode;

typedef struct logsum_importance_weights_args {
  size_t struct_size;
  int32_t level; /* logsum_importance_level */
  int32_t mode;  /* logsum_importance_mode */
  float clip_min, clip_max;
  logsum_tensor old_per_token_logps, sampling_per_token_logps, completion_mask, cu_seqlens;
  logsum_tensor weights;
  logsum_tensor count, effective_sample_size, mean_weight, clipped_fraction;
} logsum_importance_weights_args;

static inline logsum_importance_weights_args logsum_importance_weights_args_defaults(void) {
  logsum_importance_weights_args value;
  memset(&value, 0, sizeof value);
  value.struct_size = sizeof value;
  value.level = LOGSUM_IMPORTANCE_LEVEL_SEQUENCE;
  value.mode = LOGSUM_IMPORTANCE_MODE_MASK;
  value.clip_max = 3.0f;
  return value;
}

LOGSUM_API logsum_status logsum_importance_weights(const logsum_importance_weights_args* args,
                                                   const logsum_context* context);
LOGSUM_API size_t
logsum_importance_weights_workspace_size(const logsum_importance_weights_args* args);

#ifdef __cplusplus
}
#endif

#endif
