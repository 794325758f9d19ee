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

// What a line's i-th call is; `seed` tells two lines apart.
struct Sampling {
  using Args = SampleArgs;
  using Results = Draws;
  static constexpr auto kOperation = &sample;
  static constexpr auto kWorkspaceSize = &sample_workspace_size;

  Sampling(const Tensor&, std::uint64_t line_seed) : seed(line_seed) {}
  Results unwritten(std::size_t rows) const { return {rows, 1}; }
  Args into(Results& d, const Tensor& logits, std::size_t i) const {
    return draws_into(d, logits, args(i));
  }
  Results direct(const Tensor& logits, std::size_t i) const {
    return draws_of(logits, cuda(Determinism::per_device), args(i));
  }

 private:
  Args args(std::size_t i) const { return {.seed = seed, .offset = i}; }
  std::uint64_t seed;
};

struct Scoring {
  using Args = TokenLogprobsArgs;
  using Results = Scores;
  static constexpr auto kOperation = &token_logprobs;
  static constexpr auto kWorkspaceSize = &token_logprobs_workspace_size;

  Scoring(const Tensor& logits, std::uint64_t line_seed)
      : seed(line_seed), targets(spread_targets(logits.shape[0], logits.shape[1])) {}
  Results unwritten(std::size_t rows) const { return {rows, 1, 5}; }
  Args into(Results& s, const Tensor& logits, std::size_t i) const {
    return scores_into(s, logits, targets, args(i));
  }
  Results direct(const Tensor& logits, std::size_t i) const {
    return scores_of(logits, targets, cuda(Determinism::per_device), args(i));
  }

 private:
  Args args(std::size_t i) const {
    return {.temperature = static_cast<float>(seed) + static_cast<float>(i) / 8};
  }
  std::uint64_t seed;
  std::vector<std::int64_t> targets;
};

// A stream with the calls that are put on it.
template <class Work>
class Line {
 public:
  Line(const Tensor& logits, std::uint64_t seed, bool own_workspace)
      : logits_(logits), work_(logits, seed) {
    const Results unwritten = work_.unwritten(static_cast<std::size_t>(logits.shape[0]));
    results_.assign(kCalls, unwritten);
    for (std::size_t i = 0; i < kCalls; ++i) {
      calls_.push_back(
          std::make_unique<Moved<Args>>(cuda_memory(), work_.into(results_[i], logits, i)));
      calls_[i]->add_tensors();
      calls_[i]->mirror().to_device();
    }
    context_ = cuda(Determinism::per_device, Schedule::spans);
    context_.stream = stream_.get();
    if (!own_workspace) return;
    const std::size_t size = Work::kWorkspaceSize(calls_[0]->args());
    workspace_.emplace(size);
    context_.workspace = {workspace_->data(), size};
  }

  static constexpr std::size_t kCalls = 30;
  void start(std::size_t i) { call_on_gpu(Work::kOperation, calls_[i]->args(), context_); }
  void expect_results() {
    stream_.wait();
    for (std::size_t i = 0; i < kCalls; ++i) {
      calls_[i]->to_host("call " + std::to_string(i));
      ASSERT_TRUE(same_bits(results_[i], work_.direct(logits_, i)));
    }
  }

 private:
  using Args = typename Work::Args;
  using Results = typename Work::Results;

  Tensor logits_;
  Work work_;
  Stream stream_;
  Context context_;
  std::optional<DeviceBuffer<std::byte>> workspace_;
  std::vector<Results> results_;
  std::vector<std::unique_ptr<Moved<Args>>> calls_;
};

template <class Work>
void expect_two_at_once(const Tensor& logits, bool own_workspaces) {
  Line<Work> one(logits, 1, own_workspaces), other(logits, 2, own_workspaces);
  for (std::size_t i = 0; i < Line<Work>::kCalls; ++i) {
    one.start(i);
    other.start(i);
  }
  one.expect_results();
  other.expect_results();
}

TEST_F(CudaStreams, TwoAtOnce) {
  for (const auto& [rows, columns] : {std::pair{7, 300000}, std::pair{400, 20000}}) {
    const std::vector<float> z = many_logits(std::size_t(rows) * std::size_t(columns), 7, 9);
    const DeviceMatrix matrix(rows, Tensor::of(z.data(), {rows, columns}));
    for (const bool own_workspaces : {true, false}) {
      expect_two_at_once<Sampling>(matrix.tensor(), own_workspaces);
      expect_two_at_once<Scoring>(matrix.tensor(), own_workspaces);
    }
  }
}

}  // namespace
}  // namespace logsum::test
