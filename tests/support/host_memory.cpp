// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <new>

#include "support/device_memory.hpp"

namespace logsum::test {
namespace {

class HostMemory final : public DeviceMemory {
 public:
  DeviceType device() const override { return DeviceType::cpu; }
  void* allocate(std::size_t size) override {
    return ::operator new(size, std::align_val_t(kAlignment));
  }
  void free(void* data) override { ::operator delete(data, std::align_val_t(kAlignment)); }
  void to_device(void* device, const void* host, std::size_t size) override {
    std::memcpy(device, host, size);
  }
  void to_host(void* host, const void* device, std::size_t size) override {
    std::memcpy(host, device, size);
  }
  void synchronize() override {}
  bool holds(const void*) override { return false; }
};

}  // namespace

DeviceMemory& host_memory() {
  static HostMemory memory;
  return memory;
}

}  // namespace logsum::test
