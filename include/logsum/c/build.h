/* SPDX-License-Identifier: Apache-2.0
   What this build is and knows: its version, backends and SIMD targets. */
#ifndef LOGSUM_C_BUILD_H_
#define LOGSUM_C_BUILD_H_

#include <stddef.h>
#include <stdint.h>

#include "logsum/export.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
