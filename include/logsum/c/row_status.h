/* SPDX-License-Identifier: Apache-2.0
   What became of a row: values of row_status outputs. */
#ifndef LOGSUM_C_ROW_STATUS_H_
#define LOGSUM_C_ROW_STATUS_H_

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

#endif
