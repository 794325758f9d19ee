// SPDX-License-Identifier: Apache-2.0
#include "capi/convert.hpp"
#include "logsum/c/build.h"
#include "logsum/c/devices.h"
#include "logsum/devices.hpp"
#include "logsum/version.h"

namespace {

template <class Infos>
size_t list(const Infos& infos, logsum_choice* choices, size_t capacity) {
  for (size_t i = 0; i < std::min(capacity, infos.size()); ++i)
    choices[i] = {static_cast<int32_t>(infos[i].id), infos[i].name, infos[i].available};
  return infos.size();
}

}  // namespace

extern "C" {

const char* logsum_version(void) { return LOGSUM_VERSION; }

size_t logsum_backends(logsum_choice* choices, size_t capacity) {
  return list(logsum::backends(), choices, capacity);
}

size_t logsum_simd_targets(logsum_choice* choices, size_t capacity) {
  return list(logsum::simd_targets(), choices, capacity);
}

logsum_status logsum_cuda_device(int32_t index, logsum_device_info* info) {
  logsum::DeviceInfo found;
  const logsum::Status status = logsum::cuda_device(index, found);
  if (!status.ok()) return logsum::capi::to_c(status);
  *info = {};
  std::copy(std::begin(found.name), std::end(found.name), info->name);
  info->capability = found.capability;
  info->multiprocessors = found.multiprocessors;
  info->shared_bytes_per_block = found.shared_bytes_per_block;
  std::copy(std::begin(found.clusters), std::end(found.clusters), info->clusters);
  info->l2_bytes = found.l2_bytes;
  info->memory_bytes = found.memory_bytes;
  return logsum::capi::to_c(status);
}

logsum_tensor logsum_tensor_contiguous(void* data, logsum_dtype dtype, int32_t rank,
                                       const int64_t* shape) {
  logsum_tensor t{};
  t.data = data;
  t.dtype = dtype;
  t.device_type = static_cast<int32_t>(logsum::DeviceType::cpu);
  t.rank = rank > 0 && shape == nullptr ? -1 : rank;
  uint64_t stride = 1;  // may wrap: an operation refuses such a shape
  for (int i = std::min(t.rank, LOGSUM_MAX_RANK) - 1; i >= 0; --i) {
    t.shape[i] = shape[i];
    t.strides[i] = static_cast<int64_t>(stride);
    stride *= static_cast<uint64_t>(shape[i]);
  }
  return t;
}

}  // extern "C"
