/* SPDX-License-Identifier: Apache-2.0
   Whether a call could be made, and the message where not. */
#ifndef LOGSUM_C_STATUS_H_
#define LOGSUM_C_STATUS_H_

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

#endif
