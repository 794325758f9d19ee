/* SPDX-License-Identifier: Apache-2.0
   How a call runs: workspace, threads, backend, stream. */
#ifndef LOGSUM_C_CONTEXT_H_
#define LOGSUM_C_CONTEXT_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
