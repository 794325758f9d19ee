/* SPDX-License-Identifier: Apache-2.0
   Views of tensors, and parameters that may be one per row. */
#ifndef LOGSUM_C_TENSOR_H_
#define LOGSUM_C_TENSOR_H_

#include <stdint.h>

#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#define LOGSUM_MAX_RANK 8

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

#ifdef __cplusplus
}
#endif

#endif
