// SPDX-License-Identifier: Apache-2.0
// Context and the calls' edges: backends, SIMD targets, executors, workspaces, no rows, few and
// many dimensions.
#include "logsum/context.hpp"

#include <gtest/gtest.h>

#include "logsum/approx_kl.hpp"
#include "logsum/distill_loss.hpp"
#include "logsum/group_advantages.hpp"
#include "logsum/importance_weights.hpp"
#include "logsum/logsumexp.hpp"
#include "logsum/measure.hpp"
#include "logsum/policy_loss.hpp"
#include "logsum/preference_loss.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/executors.hpp"
#include "support/outputs.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

TEST(Context, BackendsAndTargetsAreListed) {
  ASSERT_GE(backends().size(), 2u);
  EXPECT_STREQ(backends()[0].name, "cpu");
  EXPECT_EQ(backends()[0].id, Backend::cpu);
  EXPECT_STREQ(backends()[1].name, "reference");
  EXPECT_EQ(backends()[1].id, Backend::reference);
  for (const BackendInfo& built : backends().subspan(2)) EXPECT_EQ(built.id, Backend::cuda);
  ASSERT_EQ(simd_targets().size(), 4u);
  bool any = false;
  for (const SimdTargetInfo& target : simd_targets()) {
    EXPECT_TRUE(target.compiled || !target.available) << target.name;
    any |= target.available;
  }
  EXPECT_TRUE(any);
  EXPECT_EQ(simd_targets().back().id, SimdTarget::portable);
  EXPECT_TRUE(simd_targets().back().available);
}

TEST(Context, WhatIsMissingIsRefusedByName) {
  if (on::is_cuda()) GTEST_SKIP() << "SIMD targets and executors are the CPU backend's";
  float z[4] = {}, lse = 0;
  const TokenLogprobsArgs args{.logits = Tensor::of(z, {1, 4}), .lse = Tensor::of(&lse, {1})};
  const auto refused = [&](const Context& context, const std::string& phrase) {
    expect_refused(on::token_logprobs(args, context), StatusCode::unsupported,
                   {"token_logprobs: " + phrase});
  };
  refused({.backend = static_cast<Backend>(9)}, "no backend 9 in this build");
  for (const SimdTargetInfo& target : simd_targets())
    if (!target.available)
      refused({.simd = target.id}, "SIMD target " + std::string(target.name) + " isn't available");
  refused({.simd = static_cast<SimdTarget>(77)}, "SIMD target ? isn't available");
  BrokenExecutor broken;
  expect_refused(on::token_logprobs(args, {.executor = &broken}), StatusCode::internal,
                 {"the executor couldn't run all tasks"});
}

TEST(Context, UnknownChoicesAreRefused) {
  float z[4] = {}, lse = 0;
  const TokenLogprobsArgs args{.logits = Tensor::of(z, {1, 4}), .lse = Tensor::of(&lse, {1})};
  expect_refused(token_logprobs(args, {.determinism = static_cast<Determinism>(2)}),
                 StatusCode::invalid_argument, {"determinism is 2, must be per_device (0) or"});
  expect_refused(token_logprobs(args, {.schedule = static_cast<Schedule>(7)}),
                 StatusCode::invalid_argument, {"schedule is 7, must be automatic (0), spans (1)"});
}

// Sizes come from shapes alone: no pointer is looked at, and refused arguments need none.
TEST(Workspace, SizesFromShapesOnly) {
  const auto score_size = [](std::initializer_list<std::int64_t> shape, std::int64_t vocab_size) {
    return token_logprobs_workspace_size(
        {.logits = Tensor::of(static_cast<float*>(nullptr), shape), .vocab_size = vocab_size});
  };
  EXPECT_EQ(score_size({3, 4096}, 0), 3u * 24);
  EXPECT_EQ(score_size({3, 4097}, 0), 6u * 24);
  EXPECT_EQ(score_size({3, 4097}, 4096), 3u * 24);
  EXPECT_EQ(score_size({2, 3, 1}, 0), 6u * 24);
  EXPECT_EQ(score_size({5000}, 0), 2u * 24);
  EXPECT_EQ(score_size({0, 5000}, 0), 0u);
  EXPECT_EQ(score_size({}, 0), 0u);
  EXPECT_EQ(score_size({-3, 5000}, 0), 0u);
  // More than can be addressed is more than anyone has, not nothing.
  EXPECT_GE(score_size({std::int64_t{1} << 62, 5000}, 0), std::size_t{1} << 60);
  const auto sample_size = [](Tensor indices) {
    return sample_workspace_size({.logits = Tensor::of(static_cast<BFloat16*>(nullptr), {3, 9000}),
                                  .indices = indices,
                                  .draws = 50});
  };
  EXPECT_EQ(sample_size({}), 3u * 3 * 136);
  EXPECT_EQ(sample_size(Tensor::of(static_cast<std::int64_t*>(nullptr), {7})), 7u * 3 * 136);
  TokenLogprobsArgs args;
  args.logits.rank = 1000;
  EXPECT_EQ(token_logprobs_workspace_size(args), 0u);
  args.logits.rank = -1000;
  EXPECT_EQ(token_logprobs_workspace_size(args), 0u);
  EXPECT_EQ(sample_workspace_size({.logits = args.logits}), 0u);
}

// On a GPU measure shares rows between CTAs through the workspace: as token_logprobs, it refuses
// one that is too small before it looks for its backend.
TEST(Workspace, MeasureNeedsWhatTokenLogprobsNeedsOnAGpu) {
  const Device gpu{DeviceType::cuda, 0};
  float z[20] = {};
  alignas(64) std::byte memory[256], records[2 * 24];
  const MeasureArgs args{.logits = Tensor::of(z, {2, 10}, gpu),
                         .records = Tensor::of(reinterpret_cast<std::uint8_t*>(records),
                                               {2, 1, sizeof(TileRecord)}, gpu)};
  const std::size_t size = measure_workspace_size(args);
  EXPECT_EQ(size, token_logprobs_workspace_size({.logits = args.logits}));
  EXPECT_GT(size, sizeof memory);
  expect_refused(measure(args, {.workspace = {memory, sizeof memory}}), StatusCode::out_of_memory,
                 {"measure: workspace has 256 bytes, needs " + std::to_string(size)});
  EXPECT_EQ(measure_workspace_size({.logits = Tensor::of(z, {2, 10})}), 0u);
}

// Of arguments that the operation refuses: no crash, and nothing that overflows in a sum.
TEST(Workspace, SizesOfNonsense) {
  Tensor t = Tensor::of(static_cast<float*>(nullptr), {2, 3});
  t.dtype = static_cast<DType>(99);
  const Tensor z = Tensor::of(static_cast<float*>(nullptr), {2, 3});
  EXPECT_LT(softmax_workspace_size({.logits = t, .output = t, .dim = 0}), 4096u);
  EXPECT_LT(
      softmax_backward_workspace_size({.grad_output = z, .output = t, .grad_logits = t, .dim = 0}),
      4096u);
  EXPECT_LT(logsumexp_workspace_size({.logits = t, .dim = 0}), 4096u);
  EXPECT_LT(logsumexp_backward_workspace_size({.logits = t, .grad_logits = t, .dim = 0}), 4096u);

  constexpr std::int64_t kMost = INT64_MAX;
  for (const std::vector<std::int64_t>& shape : std::vector<std::vector<std::int64_t>>{
           {kMost}, {1, kMost}, {kMost, kMost}, {1 << 20, kMost}, {kMost, 1}, {0, kMost}}) {
    const Tensor huge = Tensor::contiguous(nullptr, DType::f32, shape);
    Tensor on_gpu = huge;
    on_gpu.device.type = DeviceType::cuda;
    const std::size_t sizes[] = {
        token_logprobs_workspace_size({.logits = huge}),
        token_logprobs_workspace_size({.logits = z, .vocab_size = kMost}),
        sample_workspace_size({.logits = huge}),
        measure_workspace_size({.logits = on_gpu}),
        softmax_workspace_size({.logits = huge, .output = huge, .dim = 0}),
        softmax_backward_workspace_size(
            {.grad_output = huge, .output = huge, .grad_logits = huge, .dim = 0}),
        logsumexp_workspace_size({.logits = huge, .dim = 0}),
        logsumexp_backward_workspace_size({.logits = huge, .grad_logits = huge, .dim = 0}),
        approx_kl_workspace_size({.per_token_logps = huge}),
        policy_loss_workspace_size({.logits = huge}),
        policy_loss_workspace_size({.logits = on_gpu}),
        policy_loss_workspace_size({.logits = z, .cu_seqlens = huge}),
        policy_loss_workspace_size({.logits = z, .vocab_size = kMost}),
        preference_loss_workspace_size({.logits = huge}),
        preference_loss_workspace_size({.logits = on_gpu}),
        preference_loss_workspace_size({.logits = z, .cu_seqlens = huge}),
        preference_loss_workspace_size({.logits = z, .vocab_size = kMost}),
        distill_loss_workspace_size({.student_logits = huge}),
        distill_loss_workspace_size({.student_logits = on_gpu}),
        distill_loss_workspace_size({.student_logits = z, .vocab_size = kMost}),
        group_advantages_workspace_size({.rewards = on_gpu, .scale = AdvantageScale::batch}),
        importance_weights_workspace_size({.old_per_token_logps = on_gpu, .count = z}),
        importance_weights_workspace_size({.cu_seqlens = huge, .count = z})};
    for (const std::size_t size : sizes) EXPECT_LE(size, std::size_t{1} << 61);
  }
}

// The size is enough (nothing behind it is touched), less isn't, and the bits are the same.
TEST(Workspace, ExactSizeIsEnough) {
  for (const std::int64_t columns : {10, 5000, 20000}) {
    Batch batch(healthy_rows(), columns, DType::f32);
    const auto targets = spread_targets(batch.rows(), columns);
    const SampleArgs sample_args{.temperature = 0.7f, .seed = 3, .draws = 4};
    const Scores scores = scores_of(batch.tensor(), targets);
    const Draws draws = draws_of(batch.tensor(), {}, sample_args);
    SampleArgs sized = sample_args;
    sized.logits = batch.tensor();
    const std::size_t score_bytes = on::token_logprobs_workspace_size({.logits = batch.tensor()});
    const std::size_t sample_bytes = on::sample_workspace_size(sized);
    alignas(8) std::vector<std::uint64_t> memory(std::max(score_bytes, sample_bytes) / 8 + 16,
                                                 0xabababababababab);
    for (Executor* executor : {&inline_executor(), &default_executor()}) {
      const auto with = [&](std::size_t bytes) {
        return Context{.workspace = {memory.data(), bytes}, .executor = executor};
      };
      EXPECT_TRUE(same_bits(scores_of(batch.tensor(), targets, with(score_bytes)), scores));
      EXPECT_EQ(memory[score_bytes / 8], 0xabababababababab);
      std::fill(memory.begin(), memory.end(), 0xabababababababab);
      EXPECT_TRUE(same_bits(draws_of(batch.tensor(), with(sample_bytes), sample_args), draws));
      EXPECT_EQ(memory[sample_bytes / 8], 0xabababababababab);
      std::fill(memory.begin(), memory.end(), 0xabababababababab);
    }
  }
}

TEST(Workspace, TooSmallOrMisaligned) {
  if (on::is_cuda()) GTEST_SKIP() << "the sizes are the CPU backend's";
  float z[20] = {}, lse[2];
  std::int64_t token[2];
  alignas(64) std::byte memory[256];
  const TokenLogprobsArgs args{.logits = Tensor::of(z, {2, 10}), .lse = Tensor::of(lse, {2})};
  expect_refused(on::token_logprobs(args, {.workspace = {memory, 47}}), StatusCode::out_of_memory,
                 {"token_logprobs: workspace has 47 bytes, needs 48"});
  expect_refused(on::token_logprobs(args, {.workspace = {memory + 4, 200}}),
                 StatusCode::invalid_argument, {"workspace is at", "needs alignment to 8"});
  EXPECT_TRUE(on::token_logprobs(args, {.workspace = {memory + 8, 48}}).ok());
  const SampleArgs draws{.logits = Tensor::of(z, {2, 10}), .token = Tensor::of(token, {2})};
  expect_refused(on::sample(draws, {.workspace = {memory, 111}}), StatusCode::out_of_memory,
                 {"sample: workspace has 111 bytes, needs 112"});
  expect_refused(on::sample(draws, {.workspace = {memory + 1, 200}}), StatusCode::invalid_argument,
                 {"sample: workspace is at", "needs alignment to 8"});
}

// No rows: nothing to do, whatever the pointers; the arguments are still checked.
TEST(Calls, NoRows) {
  float* const none = nullptr;
  std::int64_t* const no_integers = nullptr;
  const Tensor logits = Tensor::of(none, {0, 10});
  std::uint64_t memory;
  for (const Context& context : {Context{}, kReference, Context{.workspace = {&memory, 0}}}) {
    must(on::token_logprobs({.logits = logits,
                             .targets = Tensor::of(no_integers, {0}),
                             .logprobs = Tensor::of(none, {0}),
                             .lse = Tensor::of(none, {0}),
                             .top_ids = Tensor::of(no_integers, {0, 3})},
                            context));
    must(on::sample({.logits = logits, .token = Tensor::of(no_integers, {0, 2}), .draws = 2},
                    context));
    float z[10] = {};
    must(on::sample({.logits = Tensor::of(z, {1, 10}),
                     .indices = Tensor::of(no_integers, {0}),
                     .token = Tensor::of(no_integers, {0})},
                    context));
  }
  expect_refused(on::token_logprobs({.logits = logits, .lse = Tensor::of(none, {1})}),
                 StatusCode::invalid_argument, {"null pointer"});
  expect_refused(on::token_logprobs({.logits = logits, .temperature = -1.0f}),
                 StatusCode::invalid_argument, {"temperature is -1"});
}

TEST(Calls, NothingAskedForIsNothingDone) {
  float z[10] = {};
  EXPECT_TRUE(on::token_logprobs({.logits = Tensor::of(z, {1, 10})}).ok());
}

// One dimension: outputs have none. Eight: outputs have seven, in any memory layout.
TEST(Calls, OneDimension) {
  const std::vector<float> z = gaussian(5000, 1, 2, 0);
  const Tensor row = Tensor::of(z.data(), {5000}), matrix = Tensor::of(z.data(), {1, 5000});
  const std::int64_t target = 7;
  const Scores wanted = scores_of(matrix, {target});
  float logprob, lse;
  must(on::token_logprobs({.logits = row,
                           .targets = Tensor::of(&target, {}),
                           .logprobs = Tensor::of(&logprob, {}),
                           .lse = Tensor::of(&lse, {})}));
  EXPECT_TRUE(same_bits(logprob, wanted.logprobs[0]) && same_bits(lse, wanted.lse[0]));
  std::int64_t token, tokens[3];
  must(on::sample({.logits = row, .token = Tensor::of(&token, {}), .seed = 5}));
  must(on::sample({.logits = row, .token = Tensor::of(tokens, {3}), .seed = 5, .draws = 3}));
  EXPECT_EQ(token, draws_of(matrix, {}, {.seed = 5}).token[0]);
  EXPECT_EQ(tokens[0], token);
}

TEST(Calls, EightDimensionsInAnyLayout) {
  // [2, 1, 3, 1, 2, 1, 1, V], the rows stored with the first dimension fastest.
  const std::int64_t columns = 300;
  Matrix z(12, columns, DType::f16, 3);
  for (std::int64_t i = 0; i < 12; ++i)
    z.set_row(i, gaussian(columns, 70 + static_cast<std::uint32_t>(i), 2, 0));
  const std::int64_t step = columns + 3;
  const std::int64_t shape[] = {2, 1, 3, 1, 2, 1, 1, columns};
  const std::int64_t strides[] = {step, 99, 2 * step, 5, 6 * step, 1, 7, 1};
  const Tensor logits = Tensor::strided(z.tensor().data, DType::f16, shape, strides);
  float lse[24];
  const std::int64_t out_strides[] = {12, 0, 4, 0, 2, 0, 0};
  must(on::token_logprobs(
      {.logits = logits,
       .lse = Tensor::strided(lse, DType::f32, std::span(shape, 7), out_strides)}));
  for (std::int64_t a = 0; a < 2; ++a)
    for (std::int64_t b = 0; b < 3; ++b)
      for (std::int64_t c = 0; c < 2; ++c)
        EXPECT_TRUE(
            same_bits(lse[12 * a + 4 * b + 2 * c], scores_of(z.row(a + 2 * b + 6 * c), {}).lse[0]));
}

}  // namespace
}  // namespace logsum::test
