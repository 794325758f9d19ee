// SPDX-License-Identifier: Apache-2.0
// What explain_schedule says of a call is what the call launches: the grid, the threads and the
// shared memory of a captured call's kernel.
#include <cuda.h>
#include <gtest/gtest.h>

#include "logsum/devices.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/cuda.hpp"

namespace logsum::test {
namespace {

using CudaExplain = OnGpu;
using CudaExplainRings = OnGpuWithRings;

// Asked of the driver: the library may have a runtime of its own, whose kernels this one's doesn't
// know.
CUDA_KERNEL_NODE_PARAMS parameters_of(cudaGraphNode_t node) {
  CUDA_KERNEL_NODE_PARAMS parameters = {};
  void* get = nullptr;
  cudaDriverEntryPointQueryResult found;
  must("the driver", cudaGetDriverEntryPointByVersion("cuGraphKernelNodeGetParams", &get, 12000,
                                                      cudaEnableDefault, &found));
  EXPECT_EQ(found, cudaDriverEntryPointSuccess);
  const auto call = reinterpret_cast<CUresult (*)(CUgraphNode, CUDA_KERNEL_NODE_PARAMS*)>(get);
  EXPECT_EQ(call(node, &parameters), CUDA_SUCCESS);
  return parameters;
}

// Of the only kernel that `call`, given a context, puts on a stream.
template <class Call>
CUDA_KERNEL_NODE_PARAMS launched(const Call& call) {
  const Stream stream;
  constexpr std::size_t kBytes = std::size_t{8} << 20;
  const DeviceBuffer<std::byte> workspace(kBytes);
  const Context context{.workspace = {workspace.data(), kBytes}, .stream = stream.get()};
  cudaGraph_t graph;
  cudaGraphNode_t node;
  std::size_t count = 1;
  must("a capture", cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  call(context);
  must("the capture", cudaStreamEndCapture(stream.get(), &graph));
  must("nodes", cudaGraphGetNodes(graph, &node, &count));
  const CUDA_KERNEL_NODE_PARAMS parameters = parameters_of(node);
  must("the graph", cudaGraphDestroy(graph));
  return parameters;
}

void expect_explained(const ScheduleInfo& info, const CUDA_KERNEL_NODE_PARAMS& kernel) {
  EXPECT_EQ(kernel.gridDimX * kernel.gridDimY, static_cast<unsigned>(info.blocks));
  EXPECT_EQ(kernel.blockDimX, static_cast<unsigned>(info.threads));
  EXPECT_EQ(kernel.sharedMemBytes, static_cast<unsigned>(info.shared_bytes));
}

template <class Rows>
std::string name_of(const Rows& rows) {
  return std::to_string(rows.rows) + " x " + std::to_string(rows.columns) + " " +
         to_string(rows.dtype);
}

void expect_explained(const VisitedRows& rows, const CUDA_KERNEL_NODE_PARAMS& kernel) {
  SCOPED_TRACE(name_of(rows));
  ScheduleInfo info;
  must(explain_schedule(device_info(), rows, Schedule::automatic, info));
  expect_explained(info, kernel);
}

TEST_F(CudaExplain, IsWhatIsLaunched) {
  constexpr std::int64_t kMostColumns = 600000;
  const DeviceBuffer<std::byte> logits(kMostColumns * 4 * 8);
  const DeviceBuffer<std::int64_t> targets(4096);
  const DeviceBuffer<float> results(2 * 4096);
  const DeviceBuffer<std::int32_t> tokens(4096);
  for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                                      {1, 131072},
                                      {8, kMostColumns},
                                      {9, 32000},
                                      {100, 32000},
                                      {133, 20000},
                                      {300, 20000},
                                      {4096, 1000}})
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
      for (const bool more : {false, true}) {
        const std::int64_t shape[] = {rows, columns};
        const Tensor z = Tensor::contiguous(logits.data(), dtype, shape, kGpu);
        const Tensor first = Tensor::of(results.data(), {rows}, kGpu);
        const Tensor second = more ? Tensor::of(results.data() + 4096, {rows}, kGpu) : Tensor();
        const TokenLogprobsArgs score{.logits = z,
                                      .targets = Tensor::of(targets.data(), {rows}, kGpu),
                                      .logprobs = first,
                                      .entropy = second};
        const SampleArgs draw{.logits = z,
                              .token = Tensor::of(tokens.data(), {rows}, kGpu),
                              .logprob = first,
                              .raw_logprob = second,
                              .temperature = 0.8f};
        VisitedRows visited{.rows = rows, .columns = columns, .dtype = dtype, .entropy = more};
        expect_explained(visited, launched([&](const Context& context) {
                           call_on_gpu(&token_logprobs, score, context);
                         }));
        visited.entropy = false;
        visited.raw_logprob = more;
        expect_explained(visited, launched([&](const Context& context) {
                           call_on_gpu(&sample, draw, context);
                         }));
      }
}

TEST_F(CudaExplainRings, IsWhatIsLaunched) {
  constexpr std::int64_t kMostBytes = std::int64_t{40} * 151936 * 4;
  const DeviceBuffer<std::byte> in(kMostBytes), output(kMostBytes), out(kMostBytes);
  using Operation = WrittenRows::Operation;
  for (const auto& [rows, columns] :
       {std::pair<std::int64_t, std::int64_t>{9, 151936}, {40, 151936}, {150, 32000}})
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
      for (const Determinism determinism : kDeterminisms)
        for (const Operation operation :
             {Operation::softmax, Operation::log_softmax, Operation::gradient}) {
          const std::int64_t shape[] = {rows, columns};
          const Tensor z = Tensor::contiguous(in.data(), dtype, shape, kGpu);
          const Tensor given = Tensor::contiguous(output.data(), dtype, shape, kGpu);
          const Tensor written = Tensor::contiguous(out.data(), dtype, shape, kGpu);
          const WrittenRows call{rows, columns, dtype, operation, determinism};
          SCOPED_TRACE(name_of(call) + " " + std::to_string(static_cast<int>(operation)));
          ScheduleInfo info;
          must(explain_rings(device_info(), call, info));
          EXPECT_EQ(info.schedule, Schedule::rings);
          expect_explained(info, launched([&](Context context) {
                             context.determinism = determinism;
                             const SoftmaxArgs forward{.logits = z, .output = written};
                             const SoftmaxBackwardArgs backward{
                                 .grad_output = z, .output = given, .grad_logits = written};
                             if (operation == Operation::gradient)
                               call_on_gpu(&log_softmax_backward, backward, context);
                             else if (operation == Operation::softmax)
                               call_on_gpu(&softmax, forward, context);
                             else
                               call_on_gpu(&log_softmax, forward, context);
                           }));
        }
}

}  // namespace
}  // namespace logsum::test
