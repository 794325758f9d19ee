// SPDX-License-Identifier: Apache-2.0
// What tests need that make sense on a GPU only: its memory, streams, and calls on tensors that
// stay there.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "logsum/devices.hpp"
#include "support/device_memory.hpp"
#include "support/outputs.hpp"

namespace logsum::test {

// A failure ends the program (device_memory.hpp).
void must(const char* what, cudaError_t error);

inline constexpr Device kGpu{DeviceType::cuda, 0};

// Where tests are asked to run on a GPU and there is none, main() fails before this skips.
class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_cuda(); !why.empty()) GTEST_SKIP() << why;
  }
};

// Whether the GPU has room beside what other programs take.
inline bool has_gigabytes(double needed) {
  std::size_t free = 0, total = 0;
  must("memory", cudaMemGetInfo(&free, &total));
  return static_cast<double>(free) > needed * 1e9;
}

inline DeviceInfo device_info() {
  DeviceInfo info;
  must(cuda_device(0, info));
  return info;
}

// For tests of rings, which are clusters fed by bulk copies.
class OnGpuWithRings : public OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    if (device_info().clusters[1] == 0) GTEST_SKIP() << "rings came with compute capability 9.0";
  }
};

inline Context cuda(Determinism determinism, Schedule schedule = Schedule::automatic) {
  return {.backend = Backend::cuda, .determinism = determinism, .schedule = schedule};
}

inline constexpr Determinism kDeterminisms[] = {Determinism::per_device, Determinism::cross_device};

// All tensors are on the GPU, and what the call does may not be done when this returns.
template <class Operation, class Args>
void call_on_gpu(const Operation& operation, const Args& args, const Context& context) {
  on::count_call();
  must(operation(args, context));
}

class Stream {
 public:
  Stream() { must("a stream", cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void wait() const { must("the stream", cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_;
};

template <class T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t count, int byte = 0) : count_(count) {
    must("memory", cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)));
    fill(byte, 0, count);
  }
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) {
    copy(data_, values.data(), count_ * sizeof(T));
  }
  ~DeviceBuffer() { cudaFree(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* data() const { return data_; }
  void fill(int byte, std::size_t first, std::size_t count) {
    must("filling", cudaMemset(data_ + first, byte, count * sizeof(T)));
    must("filling", cudaDeviceSynchronize());
  }
  // `count` elements, once all streams are done.
  std::vector<T> get(std::size_t first, std::size_t count) const {
    must("the calls", cudaDeviceSynchronize());
    std::vector<T> values(count);
    copy(values.data(), data_ + first, count * sizeof(T));
    return values;
  }
  std::vector<T> get() const { return get(0, count_); }

 private:
  static void copy(void* to, const void* from, std::size_t bytes) {
    must("copying", cudaMemcpy(to, from, bytes, cudaMemcpyDefault));
    must("copying", cudaDeviceSynchronize());
  }

  T* data_ = nullptr;
  std::size_t count_;
};

// A matrix of logits on a GPU: given rows [R, V], here or on the host, again and again. `padding`
// and `misalign` are as Matrix has them.
class DeviceMatrix {
 public:
  DeviceMatrix(std::int64_t rows, const Tensor& given, std::int64_t padding = 0,
               std::int64_t misalign = 0)
      : rows_(rows),
        columns_(given.shape[1]),
        stride_(columns_ + padding),
        misalign_(misalign),
        dtype_(given.dtype),
        bytes_(bytes(misalign + rows * stride_), 0x7f) {
    std::int64_t filled = std::min(rows, given.shape[0]);
    must("copying rows",
         cudaMemcpy2D(at(0), bytes(stride_), given.data, bytes(given.strides[0]), bytes(columns_),
                      static_cast<std::size_t>(filled), cudaMemcpyDefault));
    while (filled < rows) {
      const std::int64_t count = std::min(filled, rows - filled);
      must("copying rows",
           cudaMemcpy(at(filled), at(0), bytes(count * stride_), cudaMemcpyDefault));
      filled += count;
    }
    must("copying rows", cudaDeviceSynchronize());
  }

  Tensor rows(std::int64_t first, std::int64_t count) const {
    const std::int64_t shape[] = {count, columns_}, strides[] = {stride_, 1};
    return Tensor::strided(at(first), dtype_, shape, strides, kGpu);
  }
  Tensor tensor() const { return rows(0, rows_); }

 private:
  std::size_t bytes(std::int64_t elements) const {
    return static_cast<std::size_t>(elements) * size_of(dtype_);
  }
  std::byte* at(std::int64_t row) const { return bytes_.data() + bytes(misalign_ + row * stride_); }

  std::int64_t rows_, columns_, stride_, misalign_;
  DType dtype_;
  DeviceBuffer<std::byte> bytes_;
};

}  // namespace logsum::test
