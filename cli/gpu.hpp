// SPDX-License-Identifier: Apache-2.0
// A GPU as the tool uses it: memory and one stream. The tool's only way to the CUDA runtime:
// cli/cuda has it, cli/no_cuda says that the build hasn't.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace logsum::cli {

// Everything is put on the stream and may run as late as the next to_host() or wait(). Failures
// throw: bad_alloc, or a DataError that names CUDA's error.
class Gpu {
 public:
  virtual ~Gpu() = default;

  virtual void* stream() = 0;  // a cudaStream_t
  virtual std::int32_t index() const = 0;

  virtual void* allocate(std::size_t bytes) = 0;
  virtual void free(void* data) noexcept = 0;
  virtual void zero(void* data, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;  // on the GPU
  // `from` must stay as it is until then.
  virtual void to_device(void* to, const void* from, std::size_t bytes) = 0;
  virtual void to_host(void* to, const void* from, std::size_t bytes) = 0;  // waits
  virtual void wait() = 0;

  // Reads `bytes`, a multiple of 16, and writes nothing; `grid` of kReadGrids.
  static constexpr int kReadGrids = 3;
  virtual void read(const void* data, std::size_t bytes, int grid) = 0;

  // Seconds per work(i), i from 0 to count - 1, queued one behind the other: the median of so many
  // repeats.
  virtual double seconds_queued(int count, int repeats, const std::function<void(int)>& work) = 0;
  // The same captured into a graph.
  virtual double seconds_in_graph(int count, int repeats, const std::function<void(int)>& work) = 0;
};

// Of cuda_device(index); throws UsageError, which says what is missing.
std::unique_ptr<Gpu> open_gpu(std::int32_t index);

// Memory of a GPU that grows to what is asked for; what was in it is then lost.
class GpuBuffer {
 public:
  GpuBuffer() = default;
  GpuBuffer(Gpu& gpu, std::size_t bytes) { at_least(gpu, bytes); }
  ~GpuBuffer() { release(); }
  GpuBuffer(GpuBuffer&& other) noexcept { swap(other); }
  GpuBuffer& operator=(GpuBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  void* at_least(Gpu& gpu, std::size_t bytes) {
    if (bytes > size_) {
      release();
      data_ = gpu.allocate(bytes);
      gpu_ = &gpu;
      size_ = bytes;
    }
    return data_;
  }
  void* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  void swap(GpuBuffer& other) noexcept {
    std::swap(gpu_, other.gpu_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  void release() noexcept {
    if (data_ != nullptr) gpu_->free(data_);
    data_ = nullptr;
    size_ = 0;
  }

  Gpu* gpu_ = nullptr;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace logsum::cli
