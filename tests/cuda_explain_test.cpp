// SPDX-License-Identifier: Apache-2.0
// What explain_schedule says of a call is what the call launches: the grid, the threads and the
// shared memory of a captured call's kernel.
#include <cuda.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "logsum/cross_entropy.hpp"
#include "logsum/devices.hpp"
#include "logsum/policy_loss.hpp"
#include "logsum/preference_loss.hpp"
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

// Of the kernels that `call`, given a context, puts on a stream.
template <class Call>
std::vector<CUDA_KERNEL_NODE_PARAMS> all_launched(const Call& call) {
  const Stream stream;
  constexpr std::size_t kBytes = std::size_t{32} << 20;
  const DeviceBuffer<std::byte> workspace(kBytes);
  const Context context{.workspace = {workspace.data(), kBytes}, .stream = stream.get()};
  cudaGraph_t graph;
  std::size_t count = 0;
  must("a capture", cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  call(context);
  must("the capture", cudaStreamEndCapture(stream.get(), &graph));
  must("nodes", cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  must("nodes", cudaGraphGetNodes(graph, nodes.data(), &count));
  std::vector<CUDA_KERNEL_NODE_PARAMS> kernels;
  for (const cudaGraphNode_t node : nodes) kernels.push_back(parameters_of(node));
  must("the graph", cudaGraphDestroy(graph));
  return kernels;
}

// Of the only one.
template <class Call>
CUDA_KERNEL_NODE_PARAMS launched(const Call& call) {
  const std::vector<CUDA_KERNEL_NODE_PARAMS> kernels = all_launched(call);
  EXPECT_EQ(kernels.size(), 1u);
  return kernels.empty() ? CUDA_KERNEL_NODE_PARAMS{} : kernels[0];
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

// One of a loss's kernels, by its shared memory: the others have none.
void expect_among(const ScheduleInfo& info, const std::vector<CUDA_KERNEL_NODE_PARAMS>& kernels) {
  const auto it = std::find_if(kernels.begin(), kernels.end(),
                               [](const auto& kernel) { return kernel.sharedMemBytes > 0; });
  ASSERT_NE(it, kernels.end());
  expect_explained(info, *it);
}

class CudaExplainLosses : public OnGpu {
 protected:
  struct Buffers {
    static constexpr std::int64_t kMostRows = 152;
    static constexpr std::int64_t kMostBytes = std::int64_t{40} * 151936 * 4;

    DeviceBuffer<std::byte> in{kMostBytes}, out{kMostBytes};
    DeviceBuffer<std::int64_t> targets{kMostRows};
    DeviceBuffer<float> advantages{kMostRows}, loss{1}, entropy{kMostRows};
  };

  // Rings where they suit the call, else the visit that scores its rows.
  static void expect_rings(const WrittenRows& call, bool entropy,
                           const std::vector<CUDA_KERNEL_NODE_PARAMS>& kernels) {
    ScheduleInfo info;
    if (explain_rings(device_info(), call, info).ok()) return expect_among(info, kernels);
    expect_visit(call, entropy, kernels);
  }
  static void expect_visit(const WrittenRows& call, bool entropy,
                           const std::vector<CUDA_KERNEL_NODE_PARAMS>& kernels) {
    ScheduleInfo info;
    must(explain_schedule(
        device_info(),
        {.rows = call.rows, .columns = call.columns, .dtype = call.dtype, .entropy = entropy},
        Schedule::automatic, info));
    expect_among(info, kernels);
  }
};

TEST_F(CudaExplainLosses, AreWhatIsLaunched) {
  using Operation = WrittenRows::Operation;
  Buffers buffers;
  for (const auto& [rows, columns] :
       {std::pair<std::int64_t, std::int64_t>{4, 151936}, {40, 151936}, {152, 32000}})
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
      for (const Determinism determinism : kDeterminisms) {
        const std::int64_t shape[] = {rows / 2, 2, columns};
        const Tensor z = Tensor::contiguous(buffers.in.data(), dtype, shape, kGpu);
        const Tensor grad = Tensor::contiguous(buffers.out.data(), dtype, shape, kGpu);
        const Tensor targets = Tensor::of(buffers.targets.data(), {rows / 2, 2}, kGpu);
        const Tensor loss = Tensor::of(buffers.loss.data(), {1}, kGpu);
        const auto kernels = [&](const auto& operation, const auto& args) {
          return all_launched([&](Context context) {
            context.determinism = determinism;
            call_on_gpu(operation, args, context);
          });
        };
        WrittenRows call{rows, columns, dtype, Operation::loss, determinism};
        SCOPED_TRACE(name_of(call));
        PolicyLossArgs policy{.logits = z,
                              .targets = targets,
                              .advantages = Tensor::of(buffers.advantages.data(), {rows / 2}, kGpu),
                              .loss = loss,
                              .grad_logits = grad};
        expect_rings(call, false, kernels(&policy_loss, policy));
        policy.options.ratio_level = RatioLevel::sequence;
        expect_visit(call, false, kernels(&policy_loss, policy));
        policy.options.ratio_level = RatioLevel::token;
        policy.entropy = Tensor::of(buffers.entropy.data(), {rows / 2, 2}, kGpu);
        call.operation = Operation::loss_with_entropy;
        expect_rings(call, true, kernels(&policy_loss, policy));
        call.operation = Operation::loss;
        expect_rings(
            call, false,
            kernels(&cross_entropy,
                    CrossEntropyArgs{
                        .logits = z, .targets = targets, .loss = loss, .grad_logits = grad}));
        expect_visit(
            call, false,
            kernels(&preference_loss, PreferenceLossArgs{.logits = z,
                                                         .targets = targets,
                                                         .loss = loss,
                                                         .grad_logits = grad,
                                                         .options = {.reference_free = true}}));
      }
}

}  // namespace
}  // namespace logsum::test
