/* SPDX-License-Identifier: Apache-2.0
   A machine's GPUs. */
#ifndef LOGSUM_C_DEVICES_H_
#define LOGSUM_C_DEVICES_H_

#include <stddef.h>
#include <stdint.h>

#include "logsum/c/status.h"
#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
