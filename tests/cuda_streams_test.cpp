// SPDX-License-Identifier: Apache-2.0
// Calls on two streams at once, each with a workspace or each without, give what they give alone.
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "support/cuda.hpp"
#include "support/mirrored.hpp"

namespace logsum::test {
namespace {

using CudaStreams = OnGpu;

// A stream with the calls that are put on it.
class Line {
 public:
  Line(const Tensor& logits, std::uint64_t seed, bool own_workspace) : logits_(logits) {
    const auto rows = static_cast<std::size_t>(logits.shape[0]);
    for (std::uint64_t i = 0; i < kCalls; ++i) {
      args_.push_back({.seed = seed, .offset = i});
      draws_.emplace_back(rows, 1);
    }
    for (std::size_t i = 0; i < kCalls; ++i) {
      calls_.push_back(std::make_unique<Moved<SampleArgs>>(
          cuda_memory(), draws_into(draws_[i], logits, args_[i])));
      calls_[i]->add_tensors();
      calls_[i]->mirror().to_device();
    }
    context_ = cuda(Determinism::per_device, Schedule::spans);
    context_.stream = stream_.get();
    if (!own_workspace) return;
    const std::size_t size = sample_workspace_size(calls_[0]->args());
    workspace_.emplace(size);
    context_.workspace = {workspace_->data(), size};
  }

  static constexpr std::size_t kCalls = 30;
  void start(std::size_t i) { call_on_gpu(&sample, calls_[i]->args(), context_); }
  void expect_results() {
    stream_.wait();
    for (std::size_t i = 0; i < kCalls; ++i) {
      calls_[i]->to_host("call " + std::to_string(i));
      ASSERT_TRUE(same_bits(draws_[i], draws_of(logits_, cuda(Determinism::per_device), args_[i])));
    }
  }

 private:
  Tensor logits_;
  Stream stream_;
  Context context_;
  std::optional<DeviceBuffer<std::byte>> workspace_;
  std::vector<SampleArgs> args_;
  std::vector<Draws> draws_;
  std::vector<std::unique_ptr<Moved<SampleArgs>>> calls_;
};

TEST_F(CudaStreams, TwoAtOnce) {
  for (const auto& [rows, columns] : {std::pair{7, 300000}, std::pair{400, 20000}}) {
    const std::vector<float> z = many_logits(std::size_t(rows) * std::size_t(columns), 7, 9);
    const DeviceMatrix matrix(rows, Tensor::of(z.data(), {rows, columns}));
    for (const bool own_workspaces : {true, false}) {
      Line one(matrix.tensor(), 1, own_workspaces), other(matrix.tensor(), 2, own_workspaces);
      for (std::size_t i = 0; i < Line::kCalls; ++i) {
        one.start(i);
        other.start(i);
      }
      one.expect_results();
      other.expect_results();
    }
  }
}

}  // namespace
}  // namespace logsum::test
