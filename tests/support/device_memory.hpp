// SPDX-License-Identifier: Apache-2.0
// Memory that a call's tensors can be moved to: a GPU's, or more of the host's, so that moving is
// itself tested where there is no GPU. A failure ends the program: after one, nothing on a GPU can
// be trusted.
#pragma once

#include <cstddef>
#include <string>

#include "logsum/tensor.hpp"

namespace logsum::test {

class DeviceMemory {
 public:
  static constexpr std::size_t kAlignment = 256;  // of every allocation

  virtual ~DeviceMemory() = default;
  virtual DeviceType device() const = 0;
  virtual void* allocate(std::size_t size) = 0;
  virtual void free(void* data) = 0;
  virtual void to_device(void* device, const void* host, std::size_t size) = 0;
  virtual void to_host(void* host, const void* device, std::size_t size) = 0;
  virtual void synchronize() = 0;
  // Whether it is not the host's, and `data` lies in it.
  virtual bool holds(const void* data) = 0;
};

DeviceMemory& host_memory();
DeviceMemory& cuda_memory();

// Why this program can't run anything on CUDA; empty where it can.
std::string why_no_cuda();

}  // namespace logsum::test
