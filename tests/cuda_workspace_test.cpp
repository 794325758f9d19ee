// SPDX-License-Identifier: Apache-2.0
// Workspaces on a GPU: zeroed once and then shared by calls of any operation and shape, or none.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "core/workspace.hpp"
#include "logsum/logsumexp.hpp"
#include "logsum/measure.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/cuda.hpp"
#include "support/mirrored.hpp"
#include "support/refusals.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

using CudaWorkspace = OnGpu;

// Rows that overlap in one block of values, on the host and on the GPU: any shape without copies.
class Pool {
 public:
  static constexpr std::int64_t kMostRows = 5000, kMostColumns = 300000, kStep = 37;

  Pool() : host_(many_logits(kMostRows * kStep + kMostColumns, 7, 9)), device_(host_) {}

  Tensor here(std::int64_t rows, std::int64_t columns) {
    return at(host_.data(), {}, rows, columns);
  }
  Tensor there(std::int64_t rows, std::int64_t columns) {
    return at(device_.data(), kGpu, rows, columns);
  }

 private:
  static Tensor at(float* z, Device device, std::int64_t rows, std::int64_t columns) {
    return Tensor::strided(z, DType::f32, std::array{rows, columns},
                           std::array{kStep, std::int64_t{1}}, device);
  }
  std::vector<float> host_;
  DeviceBuffer<float> device_;
};

// Memory that calls share. Each is given as many bytes of it as it asks for, with a guard behind.
class Shared {
 public:
  Shared() : memory_(kBytes) {}

  Context with(Context context, std::size_t size) {
    EXPECT_LE(size + kGuard, kBytes);
    memory_.fill(0xab, size, kGuard);
    context.workspace = {memory_.data(), size};
    return context;
  }
  // The counters are zero again, and the guard is untouched.
  void expect_fit_for_the_next(const Context& context) const {
    for (const std::byte b : memory_.get(0, kSpanCounterBytes)) ASSERT_EQ(b, std::byte{0});
    for (const std::byte b : memory_.get(context.workspace.size, kGuard))
      ASSERT_EQ(b, std::byte{0xab});
  }

 private:
  static constexpr std::size_t kBytes = 16 << 20, kGuard = 256;
  DeviceBuffer<std::byte> memory_;
};

// How an operation is called: with its own memory, with all that it asks for, or refused.
struct Calls {
  Context context;
  Shared* shared = nullptr;
  std::size_t less = 0;  // bytes

  template <class Operation, class Args>
  void operator()(Operation operation, std::size_t (*size)(const Args&) noexcept,
                  const Args& args) const {
    if (shared == nullptr) return must(operation(args, context));
    const std::size_t needed = size(Moved<Args>(cuda_memory(), args).args());
    const Context with = shared->with(context, needed - less);
    if (less > 0)
      return expect_refused(operation(args, with), StatusCode::out_of_memory,
                            {"workspace has " + std::to_string(needed - less) + " bytes, needs " +
                             std::to_string(needed)});
    must(operation(args, with));
    shared->expect_fit_for_the_next(with);
  }
};

// All that an operation writes; token ids are exact in a float here.
using Output = std::vector<float>;
using Operation = Output (*)(const Tensor& logits, const Calls& calls);

Output all_of(std::initializer_list<const std::vector<float>*> floats,
              std::initializer_list<const std::vector<std::int64_t>*> integers) {
  Output all;
  for (const auto* v : floats) all.insert(all.end(), v->begin(), v->end());
  for (const auto* v : integers)
    for (const std::int64_t x : *v) all.push_back(static_cast<float>(x));
  return all;
}

const SampleArgs kSampling{.temperature = 0.7f, .seed = 3, .offset = 8, .draws = 2};

Output call_sample(const Tensor& logits, const Calls& calls) {
  Draws d(std::size_t(logits.shape[0]), 2);
  calls(&on::sample, &sample_workspace_size, draws_into(d, logits, kSampling));
  return all_of({&d.logprob, &d.raw_logprob, &d.lse, &d.entropy}, {&d.token});
}

Output call_token_logprobs(const Tensor& logits, const Calls& calls) {
  Scores s(std::size_t(logits.shape[0]), 1, std::size_t(std::min<std::int64_t>(5, logits.dim(-1))));
  const auto targets = spread_targets(logits.shape[0], logits.shape[1]);
  calls(&on::token_logprobs, &token_logprobs_workspace_size, scores_into(s, logits, targets, {}));
  return all_of({&s.logprobs, &s.lse, &s.entropy, &s.top_logprobs}, {&s.argmax, &s.rank});
}

Output call_measure(const Tensor& logits, const Calls& calls) {
  const std::int64_t rows = logits.shape[0], tiles = tile_count(logits.shape[1]);
  const auto targets = spread_targets(rows, logits.shape[1]);
  std::vector<TileRecord> records(std::size_t(rows * tiles));
  Output target_logits(std::size_t(rows), 99), all;
  const MeasureArgs args{.logits = logits,
                         .records = Tensor::of(reinterpret_cast<std::uint8_t*>(records.data()),
                                               {rows, tiles, sizeof(TileRecord)}),
                         .targets = Tensor::of(targets.data(), {rows}),
                         .target_logits = Tensor::of(target_logits.data(), {rows})};
  calls(&on::measure, &measure_workspace_size, args);
  for (const TileRecord& r : records)
    all.insert(all.end(),
               {static_cast<float>(r.n), r.sum, r.moment, r.max, static_cast<float>(r.argmax)});
  all.insert(all.end(), target_logits.begin(), target_logits.end());
  return all;
}

template <auto kSoftmax>
Output call_softmax(const Tensor& logits, const Calls& calls) {
  Output p(std::size_t(logits.elements()), 99);
  const SoftmaxArgs args{.logits = logits,
                         .output = Tensor::of(p.data(), {logits.shape[0], logits.shape[1]})};
  calls(kSoftmax, &softmax_workspace_size, args);
  return p;
}

Output call_softmax_backward(const Tensor& logits, const Calls& calls) {
  Output grad(std::size_t(logits.elements()), 99);
  const SoftmaxBackwardArgs args{
      .grad_output = logits,
      .output = logits,
      .grad_logits = Tensor::of(grad.data(), {logits.shape[0], logits.shape[1]})};
  calls(&on::softmax_backward, &softmax_backward_workspace_size, args);
  return grad;
}

Output call_logsumexp(const Tensor& logits, const Calls& calls) {
  Output lse(std::size_t(logits.shape[0]), 99);
  const LogsumexpArgs args{.logits = logits, .lse = Tensor::of(lse.data(), {logits.shape[0]})};
  calls(&on::logsumexp, &logsumexp_workspace_size, args);
  return lse;
}

constexpr Operation kOperations[] = {&call_sample,
                                     &call_token_logprobs,
                                     &call_measure,
                                     &call_softmax<&on::softmax>,
                                     &call_softmax<&on::log_softmax>,
                                     &call_softmax_backward,
                                     &call_logsumexp};
constexpr std::int64_t kRows[] = {1, 2, 5, 33, 131, 133, 264, 265, 1000, 2500, Pool::kMostRows};
constexpr std::int64_t kColumns[] = {1, 31, 4096, 4097, 9001, 70000, Pool::kMostColumns};

bool same(const Output& a, const Output& b) {
  return a.size() == b.size() && same_elements(a, 0, b, 0, a.size());
}

TEST_F(CudaWorkspace, SharedByOperationsAndShapesInAnyOrder) {
  Pool pool;
  Shared shared;
  std::mt19937 random(6);
  const auto any = [&](const auto& list) { return list[random() % std::size(list)]; };
  for (int call = 0; call < (is_quick() ? 40 : 600);) {
    const std::int64_t rows = any(kRows), columns = any(kColumns);
    if (rows * columns > 1 << 22) continue;
    ++call;
    const Operation operation = any(kOperations);
    const Determinism determinism = any(kDeterminisms);
    SCOPED_TRACE("call " + std::to_string(call) + ": " + std::to_string(rows) +
                 " rows, V=" + std::to_string(columns));
    const Context context = cuda(determinism, random() % 4 ? Schedule::spans : Schedule::automatic);
    const Output got = operation(pool.there(rows, columns), {context, &shared});
    const Output wanted = determinism == Determinism::cross_device
                              ? operation(pool.here(rows, columns), {{.backend = Backend::cpu}})
                              : operation(pool.there(rows, columns), {context});
    ASSERT_TRUE(same(got, wanted));
    if (HasFailure()) return;
  }
}

TEST_F(CudaWorkspace, OneByteLessIsRefused) {
  Pool pool;
  Shared shared;
  for (const Operation operation : kOperations)
    for (const Determinism determinism : kDeterminisms)
      for (const auto& [rows, columns] : {std::pair{1, 31}, std::pair{300, 9001}})
        operation(pool.there(rows, columns), {cuda(determinism), &shared, 1});
}

TEST_F(CudaWorkspace, NoneOnAnotherStreamThanTheDefault) {
  Pool pool;
  const Stream stream;
  for (const Operation operation : kOperations)
    for (const auto& [rows, columns] : {std::pair{3, 300000}, std::pair{300, 9001}}) {
      Context context = cuda(Determinism::cross_device, Schedule::spans);
      context.stream = stream.get();
      ASSERT_TRUE(same(operation(pool.there(rows, columns), {context}),
                       operation(pool.here(rows, columns), {{.backend = Backend::cpu}})));
    }
}

}  // namespace
}  // namespace logsum::test
