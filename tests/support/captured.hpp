// SPDX-License-Identifier: Apache-2.0
// A call in a CUDA graph, and what it puts there. Under the strictest capture mode a call that
// waits, or allocates otherwise than on the stream, makes the capture fail.
#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "support/cuda.hpp"
#include "support/mirrored.hpp"

namespace logsum::test {

class Graph {
 public:
  template <class Work>
  explicit Graph(const Work& work) {
    must("a capture", cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeGlobal));
    work(stream_.get());
    must("the capture", cudaStreamEndCapture(stream_.get(), &graph_));
    must("the graph", cudaGraphInstantiate(&executable_, graph_, 0));
  }
  ~Graph() {
    cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void replay() const {
    must("a replay", cudaGraphLaunch(executable_, stream_.get()));
    stream_.wait();
  }

  // Sorted: a graph's nodes have no order of their own.
  std::vector<cudaGraphNodeType> nodes() const {
    std::size_t count = 0;
    must("nodes", cudaGraphGetNodes(graph_, nullptr, &count));
    std::vector<cudaGraphNode_t> nodes(count);
    must("nodes", cudaGraphGetNodes(graph_, nodes.data(), &count));
    std::vector<cudaGraphNodeType> types(count);
    for (std::size_t i = 0; i < count; ++i)
      must("a node", cudaGraphNodeGetType(nodes[i], &types[i]));
    std::sort(types.begin(), types.end());
    return types;
  }

 private:
  Stream stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

// Arguments whose tensors are on the host, as a graph with copies of them on the GPU. Called once
// before it is captured, as is usual: a kernel is loaded when it is first used.
template <class Operation, class Args>
class Captured {
 public:
  using WorkspaceSize = std::size_t (*)(const Args&) noexcept;  // null: without a workspace

  Captured(Operation operation, const Args& args, std::type_identity_t<WorkspaceSize> size,
           Context context)
      : moved_(cuda_memory(), args) {
    moved_.add_tensors();
    moved_.mirror().to_device();
    if (size != nullptr) {
      workspace_.emplace(size(moved_.args()));
      context.workspace = {workspace_->data(), size(moved_.args())};
    }
    call_on_gpu(operation, moved_.args(), context);
    must("the first call", cudaDeviceSynchronize());
    graph_.emplace([&](cudaStream_t stream) {
      context.stream = stream;
      call_on_gpu(operation, moved_.args(), context);
    });
  }

  // On what the tensors on the host hold now.
  void replay() {
    moved_.mirror().to_device();
    graph_->replay();
    moved_.to_host("replay");
  }
  std::vector<cudaGraphNodeType> nodes() const { return graph_->nodes(); }

 private:
  Moved<Args> moved_;
  std::optional<DeviceBuffer<std::byte>> workspace_;
  std::optional<Graph> graph_;
};

}  // namespace logsum::test
