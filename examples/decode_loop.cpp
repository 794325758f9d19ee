// SPDX-License-Identifier: Apache-2.0
// A decode loop under one CUDA graph. A step is one launch of a graph that was captured once:
//
//   pinned inputs → GPU; logits by the model, from the last tokens; sample (one kernel);
//   8 bytes per row → pinned records
//
// Tokens stay on the GPU from step to step: the model reads them in the records that sample wrote.
// What the host may change between steps (offsets; seeds and temperatures could) is read from
// device tensors. Every record is compared with the CPU backend's, to the bit.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <logsum/logsum.hpp>
#include <vector>

#include "decode_model.h"

namespace {

constexpr int kRows = 8;  // sequences decoded together
constexpr int kSteps = 32;
constexpr int kVocab = 32000;
constexpr int kExitSkipped = 77;  // as test drivers have it

// A row's result: what an engine has to bring to the host, in one copy for all rows.
struct Record {
  std::int32_t token;
  float logprob;
};

struct StepInputs {
  std::int64_t seed[kRows];
  std::int64_t offset[kRows];
  float temperature[kRows];
};

void must(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

void must(const logsum::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message());
  std::exit(1);
}

template <class T>
T* on_gpu(std::size_t count) {
  void* data = nullptr;
  must("allocating", cudaMalloc(&data, count * sizeof(T)));
  must("clearing", cudaMemset(data, 0, count * sizeof(T)));
  return static_cast<T*>(data);
}

template <class T>
T* pinned(std::size_t count) {
  void* data = nullptr;
  must("allocating pinned memory", cudaMallocHost(&data, count * sizeof(T)));
  std::memset(data, 0, count * sizeof(T));
  return static_cast<T*>(data);
}

// The same call for both devices: the tensors say where they are.
logsum::SampleArgs arguments(float* logits, StepInputs* inputs, Record* records,
                             logsum::Device device) {
  using logsum::Tensor;
  // example-begin readme
  const std::int64_t rows[] = {kRows};
  const std::int64_t every_other[] = {2};  // records hold a token and a log-prob in turn
  return {
      .logits = Tensor::of(logits, {kRows, kVocab}, device),
      .token = Tensor::strided(&records->token, logsum::DType::i32, rows, every_other, device),
      .logprob = Tensor::strided(&records->logprob, logsum::DType::f32, rows, every_other, device),
      .temperature = Tensor::of(inputs->temperature, {kRows}, device),
      .seed = Tensor::of(inputs->seed, {kRows}, device),
      .offset = Tensor::of(inputs->offset, {kRows}, device)};
  // example-end readme
}

// One step, captured: what it reads and writes is at the same places in every launch.
cudaGraphExec_t capture(const logsum::SampleArgs& args, const logsum::Context& context,
                        StepInputs* inputs, StepInputs* gpu_inputs, Record* records,
                        Record* gpu_records) {
  auto* const stream = static_cast<cudaStream_t>(context.stream);
  auto* const logits = static_cast<float*>(args.logits.data);
  cudaGraph_t graph;
  cudaGraphExec_t step;
  must("capturing", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  must("copying inputs",
       cudaMemcpyAsync(gpu_inputs, inputs, sizeof *inputs, cudaMemcpyHostToDevice, stream));
  must("making logits", decode_model_on_gpu(&gpu_records->token, 2, kRows, kVocab, logits, stream));
  must(logsum::sample(args, context));
  must("copying records", cudaMemcpyAsync(records, gpu_records, kRows * sizeof(Record),
                                          cudaMemcpyDeviceToHost, stream));
  must("capturing", cudaStreamEndCapture(stream, &graph));
  must("making the graph", cudaGraphInstantiate(&step, graph, 0));
  cudaGraphDestroy(graph);
  return step;
}

}  // namespace

int main() {
  logsum::DeviceInfo device;
  if (const logsum::Status status = logsum::cuda_device(0, device); !status.ok()) {
    std::printf("decode_loop needs a GPU: %s\n", status.message());
    return kExitSkipped;
  }
  auto* const inputs = pinned<StepInputs>(1);
  auto* const records = pinned<Record>(kRows);
  auto* const gpu_inputs = on_gpu<StepInputs>(1);
  auto* const gpu_records = on_gpu<Record>(kRows);
  auto* const gpu_logits = on_gpu<float>(std::size_t{kRows} * kVocab);
  for (int row = 0; row < kRows; ++row) {
    inputs->seed[row] = 1000 + row;  // a request's own
    inputs->temperature[row] = 0.6f + 0.1f * static_cast<float>(row);
  }

  const logsum::SampleArgs args =
      arguments(gpu_logits, gpu_inputs, gpu_records, {logsum::DeviceType::cuda, 0});
  // Zero once; every call leaves it fit for the next.
  const std::size_t workspace = logsum::sample_workspace_size(args);
  cudaStream_t stream;
  must("making a stream", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const logsum::Context context{.workspace = {on_gpu<std::byte>(workspace), workspace},
                                .determinism = logsum::Determinism::cross_device,
                                .stream = stream};
  must("preparing", cudaDeviceSynchronize());
  must(logsum::sample(args, context));  // the first call loads the kernel: not in a capture
  // The prompts' last tokens: 0.
  must("clearing", cudaMemsetAsync(gpu_records, 0, kRows * sizeof(Record), stream));
  const cudaGraphExec_t step = capture(args, context, inputs, gpu_inputs, records, gpu_records);

  std::vector<float> logits(std::size_t{kRows} * kVocab);
  Record expected[kRows];
  const logsum::SampleArgs on_cpu = arguments(logits.data(), inputs, expected, {});
  int disagreeing = 0;
  for (int i = 0; i < kSteps; ++i) {
    decode_model_on_host(&records->token, 2, kRows, kVocab, logits.data());
    must(logsum::sample(on_cpu));
    must("launching a step", cudaGraphLaunch(step, stream));
    must("a step", cudaStreamSynchronize(stream));
    disagreeing += std::memcmp(records, expected, sizeof expected) != 0;
    std::printf("step %2d:", i);
    for (int row = 0; row < kRows; ++row) {
      std::printf(" %5d", records[row].token);
      ++inputs->offset[row];
    }
    std::printf("\n");
  }
  if (disagreeing > 0) {
    std::printf("%d of %d steps DIFFER from the CPU's\n", disagreeing, kSteps);
    return 1;
  }
  std::printf("all %d tokens and log-probs agree with the CPU's, bit for bit\n", kSteps * kRows);
  return 0;
}
