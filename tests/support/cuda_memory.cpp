// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "logsum/context.hpp"
#include "support/cuda.hpp"
#include "support/device_memory.hpp"

namespace logsum::test {

void must(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "[logsum] cuda: %s: %s\n", what, cudaGetErrorString(error));
  std::abort();
}

namespace {

class CudaMemory final : public DeviceMemory {
 public:
  // A call has some ten allocations, thousands of calls a program: what is freed is kept at hand.
  CudaMemory() {
    cudaMemPool_t pool;
    must("the device's pool", cudaDeviceGetDefaultMemPool(&pool, 0));
    std::uint64_t keep = UINT64_MAX;
    must("the pool's threshold",
         cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  }
  DeviceType device() const override { return DeviceType::cuda; }
  void* allocate(std::size_t size) override {
    void* data = nullptr;
    must("allocating", cudaMallocAsync(&data, size, nullptr));
    return data;
  }
  void free(void* data) override { must("freeing", cudaFreeAsync(data, nullptr)); }
  void to_device(void* device, const void* host, std::size_t size) override {
    must("copying to the device", cudaMemcpy(device, host, size, cudaMemcpyHostToDevice));
  }
  void to_host(void* host, const void* device, std::size_t size) override {
    must("copying from the device", cudaMemcpy(host, device, size, cudaMemcpyDeviceToHost));
  }
  void synchronize() override { must("the call", cudaDeviceSynchronize()); }
  bool holds(const void* data) override {
    if (data == nullptr) return false;
    cudaPointerAttributes attributes;
    must("a pointer", cudaPointerGetAttributes(&attributes, data));
    return attributes.type == cudaMemoryTypeDevice;
  }
};

}  // namespace

DeviceMemory& cuda_memory() {
  static CudaMemory memory;
  return memory;
}

std::string why_no_cuda() {
  int devices = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess)
    return cudaGetErrorString(error);
  if (devices == 0) return "no device";
  for (const BackendInfo& backend : backends())
    if (backend.id == Backend::cuda && backend.available) return {};
  return "the backend isn't available";
}

}  // namespace logsum::test
