// SPDX-License-Identifier: Apache-2.0
// Marks functions that both the host's and the device's compiler build: what CPU and GPU kernels
// share is written once.
#pragma once

#ifdef __CUDACC__
#define LOGSUM_HOST_DEVICE __host__ __device__
// Rare code of a kernel that would otherwise be inlined at each of a dozen calls.
#define LOGSUM_DEVICE_NOINLINE __noinline__
#else
#define LOGSUM_HOST_DEVICE
#define LOGSUM_DEVICE_NOINLINE
#endif
