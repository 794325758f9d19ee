// SPDX-License-Identifier: Apache-2.0
#include "cli/gpu.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <vector>

#include "cli/cuda/read.hpp"
#include "cli/errors.hpp"
#include "cli/gpus.hpp"

namespace logsum::cli {
namespace {

void must(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or the next launch would be taken to have failed
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw DataError(fmt::format("GPU: {}: {}", what, cudaGetErrorString(error)));
}

double median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

class Event {
 public:
  Event() { must("making an event", cudaEventCreate(&event_)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { must("recording an event", cudaEventRecord(event_, stream)); }
  double seconds_since(const Event& start) const {
    float milliseconds = 0;
    must("timing", cudaEventElapsedTime(&milliseconds, start.event_, event_));
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// What is put on a stream while one lives is captured; finish() makes it a graph.
class Graph {
 public:
  explicit Graph(cudaStream_t stream) : stream_(stream) {
    must("capturing", cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  }
  ~Graph() {
    if (executable_ == nullptr && graph_ == nullptr) cudaStreamEndCapture(stream_, &graph_);
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void finish() {
    must("capturing", cudaStreamEndCapture(stream_, &graph_));
    must("making a graph", cudaGraphInstantiate(&executable_, graph_, 0));
    must("uploading a graph", cudaGraphUpload(executable_, stream_));
  }
  void launch() { must("launching a graph", cudaGraphLaunch(executable_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

class CudaGpu final : public Gpu {
 public:
  explicit CudaGpu(std::int32_t index)
      : index_(index), processors_(gpu_at(index, "--device cuda").multiprocessors) {
    must("choosing the device", cudaSetDevice(index));
    must("making a stream", cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    sink_ = static_cast<unsigned*>(allocate(sizeof(unsigned)));
  }
  ~CudaGpu() override {
    free(sink_);
    cudaStreamDestroy(stream_);
  }
  CudaGpu(const CudaGpu&) = delete;
  CudaGpu& operator=(const CudaGpu&) = delete;

  void* stream() override { return stream_; }
  std::int32_t index() const override { return index_; }

  void* allocate(std::size_t bytes) override {
    void* data = nullptr;
    must("allocating", cudaMalloc(&data, std::max<std::size_t>(bytes, 1)));
    return data;
  }
  void free(void* data) noexcept override { cudaFree(data); }
  void zero(void* data, std::size_t bytes) override {
    must("clearing", cudaMemsetAsync(data, 0, bytes, stream_));
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    must("copying", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
  }
  void to_device(void* to, const void* from, std::size_t bytes) override {
    must("copying to the GPU", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
  }
  void to_host(void* to, const void* from, std::size_t bytes) override {
    must("copying from the GPU", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
    wait();
  }
  void wait() override { must("waiting", cudaStreamSynchronize(stream_)); }

  void read(const void* data, std::size_t bytes, int grid) override {
    constexpr struct {
      int threads, per_processor;
    } kGrids[kReadGrids] = {{1024, 2}, {512, 4}, {256, 8}};
    const auto threads = static_cast<std::size_t>(kGrids[grid].threads);
    const std::size_t vectors = bytes / 16;
    const std::size_t blocks =
        std::clamp<std::size_t>((vectors + threads - 1) / threads, 1,
                                static_cast<std::size_t>(processors_ * kGrids[grid].per_processor));
    must("reading", read_on_gpu(data, vectors, static_cast<unsigned>(blocks),
                                static_cast<unsigned>(threads), sink_, stream_));
  }

  double seconds_queued(int count, int repeats, const std::function<void(int)>& work) override {
    work(0);  // the first launch loads the kernel
    return median_seconds(repeats,
                          [&] {
                            for (int i = 0; i < count; ++i) work(i);
                          }) /
           count;
  }

  double seconds_in_graph(int count, int repeats, const std::function<void(int)>& work) override {
    work(0);  // not in a capture
    wait();
    Graph graph(stream_);
    for (int i = 0; i < count; ++i) work(i);
    graph.finish();
    graph.launch();
    return median_seconds(repeats, [&] { graph.launch(); }) / count;
  }

 private:
  double median_seconds(int repeats, const std::function<void()>& work) {
    const auto size = static_cast<std::size_t>(repeats);
    std::vector<Event> starts(size), ends(size);
    for (std::size_t i = 0; i < size; ++i) {
      starts[i].record(stream_);
      work();
      ends[i].record(stream_);
    }
    wait();
    std::vector<double> times;
    for (std::size_t i = 0; i < size; ++i) times.push_back(ends[i].seconds_since(starts[i]));
    return median(std::move(times));
  }

  std::int32_t index_;
  int processors_;
  cudaStream_t stream_ = nullptr;
  unsigned* sink_ = nullptr;
};

}  // namespace

std::unique_ptr<Gpu> open_gpu(std::int32_t index) { return std::make_unique<CudaGpu>(index); }

}  // namespace logsum::cli
