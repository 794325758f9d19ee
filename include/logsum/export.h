/* SPDX-License-Identifier: Apache-2.0
   Symbol visibility: the library is built with everything hidden but what carries LOGSUM_API. */
#ifndef LOGSUM_EXPORT_H_
#define LOGSUM_EXPORT_H_

#if defined(LOGSUM_STATIC) || !defined(__GNUC__)
#define LOGSUM_API
#else
#define LOGSUM_API __attribute__((visibility("default")))
#endif

#if defined(__GNUC__)
#define LOGSUM_PRINTF_FORMAT(format_index, first_argument) \
  __attribute__((format(printf, format_index, first_argument)))
#else
#define LOGSUM_PRINTF_FORMAT(format_index, first_argument)
#endif

#endif
