/* SPDX-License-Identifier: Apache-2.0
   The version, in one place: CMake reads it from here. */
#ifndef LOGSUM_VERSION_H_
#define LOGSUM_VERSION_H_

#define LOGSUM_VERSION_MAJOR 0
#define LOGSUM_VERSION_MINOR 1
#define LOGSUM_VERSION_PATCH 0
#define LOGSUM_VERSION "0.1.0"

#endif
