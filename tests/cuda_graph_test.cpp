// SPDX-License-Identifier: Apache-2.0
// Calls in a CUDA graph: a replay reads what its tensors then hold, logits and parameters, and the
// call is as few kernels as it should be.
#include <gtest/gtest.h>

#include "logsum/logsumexp.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/captured.hpp"
#include "support/cdf.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

using CudaGraph = OnGpu;

constexpr std::int64_t kColumns = 5000;
constexpr std::int64_t kRows[] = {1, 8, 64, 300, 4096};

using Nodes = std::vector<cudaGraphNodeType>;
const Nodes kOneKernel = {cudaGraphNodeTypeKernel};

// One launch where the GPU writes such rows by rings, two elsewhere.
Nodes kernels_of(const WrittenRows& rows) {
  ScheduleInfo info;
  const bool is_one = explain_rings(device_info(), rows, info).ok();
  return Nodes(is_one ? 1 : 2, cudaGraphNodeTypeKernel);
}

// All that may change between two replays.
struct Inputs {
  std::vector<float> logits, temperature;
  std::vector<std::int64_t> seed, offset, target;
  std::vector<double> u;

  explicit Inputs(std::int64_t rows, std::int64_t columns = kColumns)
      : rows_(rows), columns_(columns) {
    for (auto* v : {&seed, &offset, &target}) v->resize(std::size_t(rows));
    temperature.resize(std::size_t(rows));
    u.resize(std::size_t(rows));
    logits = many_logits(std::size_t(rows * columns), 5, 8);
    change(0);
  }

  void change(std::uint32_t replay) {
    const auto columns = static_cast<std::size_t>(columns_);
    for (std::size_t i = 0; i < seed.size(); ++i) {
      const auto k = static_cast<std::uint32_t>(i);
      logits[i * columns + (i + replay) % columns] = 9;
      temperature[i] = 0.25f + static_cast<float>((k + replay) % 8) / 4;
      seed[i] = static_cast<std::int64_t>(replay) << 33;
      offset[i] = static_cast<std::int64_t>(i * 3 + replay);
      target[i] = static_cast<std::int64_t>((i * 7919 + replay * 31) % columns);
      u[i] = uniform(17, i, replay);
    }
  }

  Tensor tensor() { return Tensor::of(logits.data(), {rows_, columns_}); }
  Tensor temperatures() { return Tensor::of(temperature.data(), {rows_}); }
  SampleArgs sampling(bool from_u) {
    SampleArgs args{.temperature = temperatures(),
                    .seed = Tensor::of(seed.data(), {rows_}),
                    .offset = Tensor::of(offset.data(), {rows_})};
    if (from_u) args.u = Tensor::of(u.data(), {rows_, 1});
    return args;
  }

 private:
  std::int64_t rows_, columns_;
};

std::uint32_t replays_of(const Tensor& logits) {
  return logits.elements() > 2'000'000 || is_quick() ? 3 : 20;
}

::testing::AssertionResult same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (same_elements(a, 0, b, 0, a.size())) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "an output differs";
}

// `replay` against a direct call, and the CPU's bits where they are promised.
template <class Results, class Direct>
void expect_same(const Results& replay, Determinism determinism, const Direct& direct) {
  ASSERT_TRUE(same_bits(replay, direct(cuda(determinism))));
  if (determinism != Determinism::cross_device) return;
  ASSERT_TRUE(same_bits(replay, direct(Context{.backend = Backend::cpu})));
}

// `size` may be null, as Captured takes it.
void expect_samples(Inputs& inputs, bool from_u, const Context& context,
                    std::size_t (*size)(const SampleArgs&) noexcept, const Nodes& nodes) {
  const std::int64_t rows = inputs.tensor().shape[0];
  const Draws unwritten(std::size_t(rows), 1);
  Draws d = unwritten;
  const SampleArgs args = draws_into(d, inputs.tensor(), inputs.sampling(from_u));
  Captured captured(&sample, args, size, context);
  ASSERT_EQ(captured.nodes(), nodes);
  for (std::uint32_t replay = 1; replay <= replays_of(inputs.tensor()); ++replay) {
    inputs.change(replay);
    d = unwritten;  // where it is
    captured.replay();
    expect_same(d, context.determinism, [&](const Context& direct) {
      return draws_of(inputs.tensor(), direct, inputs.sampling(from_u));
    });
  }
}

// Schedules that the GPU would choose, and both forced, over many clusters of several CTAs.
struct Shape {
  std::int64_t rows, columns;
  Schedule schedule = Schedule::automatic;
};
std::vector<Shape> visited_shapes() {
  std::vector<Shape> shapes = {
      {3, 151936}, {64, 151936}, {64, 151936, Schedule::spans}, {64, 151936, Schedule::clusters}};
  for (const std::int64_t rows : kRows) shapes.push_back({rows, kColumns});
  return shapes;
}
std::string name_of(const Shape& shape) {
  return std::to_string(shape.rows) + " rows, V=" + std::to_string(shape.columns) + ", " +
         to_string(shape.schedule);
}

TEST_F(CudaGraph, SampleIsOneKernelThatReadsItsParameters) {
  for (const Shape& shape : visited_shapes())
    for (const Determinism determinism : kDeterminisms)
      for (const bool from_u : {false, true}) {
        // Where draws come from is known before rows are laid out: once is enough of large calls.
        if (from_u && shape.schedule != Schedule::automatic) continue;
        SCOPED_TRACE(name_of(shape) + (from_u ? ", u" : ", seed"));
        Inputs inputs(shape.rows, shape.columns);
        expect_samples(inputs, from_u, cuda(determinism, shape.schedule), &sample_workspace_size,
                       kOneKernel);
      }
}

// Memory of the graph's own, which it takes and gives back at each launch; clusters need none.
TEST_F(CudaGraph, WithoutAWorkspaceItAllocates) {
  const Nodes kFour = {cudaGraphNodeTypeKernel, cudaGraphNodeTypeMemset, cudaGraphNodeTypeMemAlloc,
                       cudaGraphNodeTypeMemFree};
  for (const auto& [rows, columns] : {std::pair{3, 300000}, std::pair{300, 9001}})
    for (const Determinism determinism : kDeterminisms) {
      SCOPED_TRACE(std::to_string(rows) + " rows");
      Inputs inputs(rows, columns);
      expect_samples(inputs, false, cuda(determinism, Schedule::spans), nullptr, kFour);
    }
  Inputs inputs(8);
  expect_samples(inputs, false, cuda(Determinism::per_device, Schedule::clusters), nullptr,
                 kOneKernel);
}

TEST_F(CudaGraph, TokenLogprobsIsOneKernelThatReadsItsTargets) {
  for (const Shape& shape : visited_shapes())
    for (const Determinism determinism : kDeterminisms) {
      SCOPED_TRACE(name_of(shape));
      Inputs inputs(shape.rows, shape.columns);
      const Scores unwritten(std::size_t(shape.rows), 1, 5);
      Scores s = unwritten;
      const TokenLogprobsArgs parameters{.temperature = inputs.temperatures()};
      const TokenLogprobsArgs args = scores_into(s, inputs.tensor(), inputs.target, parameters);
      Captured captured(&token_logprobs, args, &token_logprobs_workspace_size,
                        cuda(determinism, shape.schedule));
      ASSERT_EQ(captured.nodes(), kOneKernel);
      for (std::uint32_t replay = 1; replay <= replays_of(inputs.tensor()); ++replay) {
        inputs.change(replay);
        s = unwritten;  // where it is
        captured.replay();
        expect_same(s, determinism, [&](const Context& context) {
          return scores_of(inputs.tensor(), inputs.target, context, parameters);
        });
      }
    }
}

// Few rows are read twice by softmax: two launches.
TEST_F(CudaGraph, SoftmaxAndLogsumexp) {
  for (const std::int64_t rows : kRows)
    for (const Determinism determinism : kDeterminisms) {
      if (rows > 300) continue;
      SCOPED_TRACE(std::to_string(rows) + " rows");
      Inputs inputs(rows);
      const std::vector<float> no_p(inputs.logits.size(), 99), no_lse(std::size_t(rows), 99);
      const auto softmax_args = [&](std::vector<float>& p) {
        return SoftmaxArgs{.logits = inputs.tensor(),
                           .output = Tensor::of(p.data(), {rows, kColumns}),
                           .temperature = inputs.temperatures()};
      };
      const auto lse_args = [&](std::vector<float>& lse) {
        return LogsumexpArgs{.logits = inputs.tensor(),
                             .lse = Tensor::of(lse.data(), {rows}),
                             .temperature = inputs.temperatures()};
      };
      std::vector<float> p = no_p, lse = no_lse;
      Captured rows_to_p(&softmax, softmax_args(p), &softmax_workspace_size, cuda(determinism));
      Captured rows_to_lse(&logsumexp, lse_args(lse), &logsumexp_workspace_size, cuda(determinism));
      ASSERT_EQ(rows_to_p.nodes(),
                kernels_of({.rows = rows, .columns = kColumns, .determinism = determinism}));
      ASSERT_EQ(rows_to_lse.nodes(), kOneKernel);
      for (std::uint32_t replay = 1; replay <= 3; ++replay) {
        inputs.change(replay);
        p = no_p;
        lse = no_lse;
        rows_to_p.replay();
        rows_to_lse.replay();
        expect_same(p, determinism, [&](const Context& context) {
          std::vector<float> direct = no_p;
          must(on::softmax(softmax_args(direct), context));
          return direct;
        });
        expect_same(lse, determinism, [&](const Context& context) {
          std::vector<float> direct = no_lse;
          must(on::logsumexp(lse_args(direct), context));
          return direct;
        });
      }
    }
}

// Long rows, where there are some and rings, are read once: one launch, of softmax and of its
// gradient.
TEST_F(CudaGraph, LongRowsAreWrittenByOneKernel) {
  const std::int64_t columns = 20000;
  for (const std::int64_t rows : {1, 64, 200}) {
    SCOPED_TRACE(std::to_string(rows) + " rows");
    const std::size_t count = std::size_t(rows * columns);
    std::vector<float> logits = many_logits(count, 3, 6), g = many_logits(count, 4, 1);
    std::vector<float> t(std::size_t(rows), 1), p(count, 99), gradient(count, 99);
    const auto tensor = [&](std::vector<float>& v) {
      return Tensor::of(v.data(), {rows, columns});
    };
    const auto forward = [&](std::vector<float>& out) {
      return SoftmaxArgs{.logits = tensor(logits),
                         .output = tensor(out),
                         .temperature = Tensor::of(t.data(), {rows})};
    };
    const auto backward = [&](std::vector<float>& out) {
      return SoftmaxBackwardArgs{.grad_output = tensor(g),
                                 .output = tensor(p),
                                 .grad_logits = tensor(out),
                                 .temperature = Tensor::of(t.data(), {rows})};
    };
    const Determinism determinism = Determinism::cross_device;
    WrittenRows written{.rows = rows, .columns = columns, .determinism = determinism};
    Captured to_p(&softmax, forward(p), &softmax_workspace_size, cuda(determinism));
    Captured to_gradient(&softmax_backward, backward(gradient), &softmax_backward_workspace_size,
                         cuda(determinism));
    ASSERT_EQ(to_p.nodes(), kernels_of(written));
    written.operation = WrittenRows::Operation::gradient;
    ASSERT_EQ(to_gradient.nodes(), kernels_of(written));
    for (std::uint32_t replay = 1; replay <= 3; ++replay) {
      for (std::size_t row = 0; row < t.size(); ++row) {
        t[row] = 0.25f + static_cast<float>((row + replay) % 8) / 4;
        logits[row * std::size_t(columns) + replay] = 9;
      }
      to_p.replay();
      expect_same(p, determinism, [&](const Context& context) {
        std::vector<float> direct(count, 99);
        must(on::softmax(forward(direct), context));
        return direct;
      });
      to_gradient.replay();
      expect_same(gradient, determinism, [&](const Context& context) {
        std::vector<float> direct(count, 99);
        must(on::softmax_backward(backward(direct), context));
        return direct;
      });
    }
  }
}

}  // namespace
}  // namespace logsum::test
