// SPDX-License-Identifier: Apache-2.0
// Memory of a call: the caller's workspace, or the stream's for the length of the call. Either
// begins with the counters of row visits, which all operations leave alone but those.
#pragma once

#include <cuda_runtime_api.h>

#include "core/workspace.hpp"
#include "logsum/context.hpp"
#include "logsum/status.hpp"

namespace logsum::cuda {

class DeviceScratch {
 public:
  enum class Counters { used, unused };  // used: zero where the memory is new

  // Of `bytes`, the counters among them.
  DeviceScratch(std::size_t bytes, Counters counters, const Context& context);
  ~DeviceScratch();
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;

  const Status& status() const { return status_; }
  // What lies `offset` bytes behind the beginning.
  template <class T>
  T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(data_) + offset);
  }

  // `context` with this memory as its workspace, for a part of the call.
  Context in(const Context& context) const;

 private:
  Status status_;
  cudaStream_t stream_;
  std::size_t bytes_;
  void* data_;
  bool is_owned_;
};

}  // namespace logsum::cuda
