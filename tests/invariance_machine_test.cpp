// SPDX-License-Identifier: Apache-2.0
// A row's bits don't depend on who computes it: threads, the order of tasks, SIMD target, the
// caller's floating-point environment; nor on which outputs are asked for.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cfenv>

#include "logsum/approx_kl.hpp"
#include "logsum/policy_loss.hpp"
#include "logsum/preference_loss.hpp"
#include "support/executors.hpp"
#include "support/outputs.hpp"
#include "support/shards.hpp"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace logsum::test {
namespace {

const SampleArgs kSampling{.temperature = 0.8f, .seed = 12, .draws = 3};

// Few rows are cut into runs of tiles, many aren't: 1 to 40 rows on 1 to 5 threads meet both.
TEST(InvarianceMachine, ThreadsAndOrderOfTasks) {
  if (on::is_cuda()) GTEST_SKIP() << "executors are the CPU backend's";
  for (const std::int64_t columns : {3000, 33000})
    for (const std::size_t rows : {1u, 2u, 7u, 40u}) {
      std::vector<RowCase> cases;
      for (std::size_t i = 0; i < rows; ++i) cases.push_back(healthy_rows()[i % 20]);
      Batch batch(cases, columns, DType::bf16, 3);
      const auto targets = spread_targets(batch.rows(), columns);
      const Context alone{.executor = &inline_executor()};
      const Scores scores = scores_of(batch.tensor(), targets, alone);
      const Draws draws = draws_of(batch.tensor(), alone, kSampling);
      const auto expect_same = [&](Executor& executor, const std::string& what) {
        const Context context{.executor = &executor};
        EXPECT_TRUE(same_bits(scores_of(batch.tensor(), targets, context), scores)) << what;
        EXPECT_TRUE(same_bits(draws_of(batch.tensor(), context, kSampling), draws)) << what;
        EXPECT_TRUE(same_as_whole(in_shards(batch.tensor(), even_cuts(columns, 2), targets,
                                            {.temperature = 0.8f, .seed = 12, .draws = 3}, context),
                                  scores_of(batch.tensor(), targets, {}, {.temperature = 0.8f}),
                                  draws))
            << what;
      };
      expect_same(default_executor(), "default");
      for (int threads = 1; threads <= 5; ++threads) {
        ThreadsExecutor executor(threads);
        expect_same(executor, std::to_string(threads) + " threads");
      }
      for (const int concurrency : {1, 2, 8, 1000}) {
        ShuffledExecutor executor(concurrency, 5);
        expect_same(executor, "shuffled as " + std::to_string(concurrency));
      }
      if (HasFailure()) return;
    }
}

// An executor that says it has no threads, or fewer.
TEST(InvarianceMachine, ConcurrencyOfZeroOrLess) {
  if (on::is_cuda()) GTEST_SKIP() << "executors are the CPU backend's";
  Batch batch(healthy_rows(), 9000, DType::f32, 3);
  const Draws wanted = draws_of(batch.tensor(), {}, kSampling);
  for (const int concurrency : {0, -1, INT32_MIN, 1 << 28, 1 << 30, INT32_MAX}) {
    ShuffledExecutor executor(concurrency, 1);
    EXPECT_TRUE(same_bits(draws_of(batch.tensor(), {.executor = &executor}, kSampling), wanted));
  }
}

// Many calls at once, on one executor.
TEST(InvarianceMachine, CallsAtTheSameTime) {
  Batch batch(healthy_rows(), 9000, DType::f16, 3);
  const Draws wanted = draws_of(batch.tensor(), {}, kSampling);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k)
        if (!same_bits(draws_of(batch.tensor(), {}, kSampling), wanted)) ++wrong;
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(InvarianceMachine, SimdTargets) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : widths()) {
      Batch batch(healthy_rows(), columns, dtype, 21);
      const auto targets = spread_targets(batch.rows(), columns);
      for (const float t : {1.0f, 0.05f, 1e-5f, 30.0f}) {
        SampleArgs sampling = kSampling;
        sampling.temperature = t;
        const Scores scores =
            scores_of(batch.tensor(), targets, fast_contexts()[0], {.temperature = t});
        const Draws draws = draws_of(batch.tensor(), fast_contexts()[0], sampling);
        for (const Context& context : fast_contexts()) {
          SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns) + " " +
                       name_of(context));
          EXPECT_TRUE(
              same_bits(scores_of(batch.tensor(), targets, context, {.temperature = t}), scores));
          EXPECT_TRUE(same_bits(draws_of(batch.tensor(), context, sampling), draws));
        }
      }
      if (HasFailure()) return;
    }
}

// Sets the calling thread's environment for a scope.
class Environment {
 public:
#if defined(__SSE__)
  explicit Environment(unsigned mxcsr) : saved_(_mm_getcsr()) { _mm_setcsr(mxcsr); }
  ~Environment() { _mm_setcsr(saved_); }
  static unsigned now() { return _mm_getcsr() & ~0x3fu; }  // without the sticky flags

 private:
  unsigned saved_;
#endif
};

#if defined(__SSE__)
using KlMeans = std::array<std::uint32_t, 3>;

// Bits: one is below f32's normal numbers, and their sums round.
KlMeans kl_means(const Context& context) {
  const float logps[] = {-1e-20f, -0.1f, -0.7f, -3.3f}, refs[] = {0.0f, -0.3f, -0.2f, -3.4f};
  float means[3];
  must(on::approx_kl({.per_token_logps = Tensor::of(logps, {4}),
                      .ref_per_token_logps = Tensor::of(refs, {4}),
                      .mean_k1 = Tensor::of(&means[0], {1}),
                      .mean_k3 = Tensor::of(&means[1], {1})},
                     context));
  must(on::approx_kl({.per_token_logps = Tensor::of(logps, {1}),
                      .ref_per_token_logps = Tensor::of(refs, {1}),
                      .mean_k2 = Tensor::of(&means[2], {1})},
                     context));
  return std::bit_cast<KlMeans>(means);
}

// Bits of the loss and gradient of a few tokens, one of whose probabilities are below f32's normal
// numbers.
std::array<std::uint32_t, 9> policy_bits(const Context& context) {
  const float logits[] = {0.1f, 2, -3, 1, 0, -90, -95, 3};
  const float advantages[] = {0.7f, -1.1f}, old[] = {-0.6f, -3.1f}, ref[] = {-0.3f, -2.9f};
  const std::int64_t targets[] = {1, 0};
  float values[9];
  must(on::policy_loss(
      {.logits = Tensor::of(logits, {2, 4}),
       .targets = Tensor::of(targets, {2}),
       .advantages = Tensor::of(advantages, {2}),
       .old_per_token_logps = Tensor::of(old, {2}),
       .ref_per_token_logps = Tensor::of(ref, {2}),
       .loss = Tensor::of(&values[8], {}),
       .grad_logits = Tensor::of(values, {2, 4}),
       .options = {.ratio_level = RatioLevel::sequence, .beta = 0.1f, .entropy_coef = 0.01f}},
      context));
  return std::bit_cast<std::array<std::uint32_t, 9>>(values);
}

// Bits of a loss of preferences, whose exponential is below f32's normal numbers.
std::array<std::uint32_t, 9> preference_bits(const Context& context) {
  const float logits[] = {0.1f, 2, -3, 1, 0, -90, -95, 3};
  const float ref[] = {-103.0f, -3.1f};
  const std::int64_t targets[] = {1, 0};
  float values[9];
  must(on::preference_loss({.logits = Tensor::of(logits, {2, 1, 4}),
                            .targets = Tensor::of(targets, {2, 1}),
                            .ref_logps = Tensor::of(ref, {2}),
                            .loss = Tensor::of(&values[8], {}),
                            .grad_logits = Tensor::of(values, {2, 1, 4}),
                            .options = {.beta = 0.9f}},
                           context));
  return std::bit_cast<std::array<std::uint32_t, 9>>(values);
}

TEST(InvarianceMachine, FloatingPointEnvironment) {
  if (on::is_cuda()) GTEST_SKIP() << "the environment is the host's, and a driver may trap in it";
  Batch batch(healthy_rows(), 5000, DType::f32, 5);
  std::vector<std::int64_t> targets = spread_targets(batch.rows(), 5000);
  ThreadsExecutor threads(3);
  for (Executor* executor :
       {&default_executor(), &inline_executor(), static_cast<Executor*>(&threads)}) {
    const Context context{.executor = executor};
    const Scores scores = scores_of(batch.tensor(), targets, context, {.temperature = 0.8f});
    const Draws draws = draws_of(batch.tensor(), context, kSampling);
    const KlMeans means = kl_means(context);
    const auto policy = policy_bits(context);
    const auto preference = preference_bits(context);
    // Flush to zero and subnormals are zero; each other rounding; exceptions not masked.
    for (const unsigned mxcsr : {0x1f80u | 0x8040u, 0x1f80u | 0x2000u, 0x1f80u | 0x4000u,
                                 0x1f80u | 0x6000u, 0x1f80u | 0xe040u, 0x0000u}) {
      const Environment environment(mxcsr);
      SCOPED_TRACE(mxcsr);
      const Scores got_scores = scores_of(batch.tensor(), targets, context, {.temperature = 0.8f});
      const Draws got = draws_of(batch.tensor(), context, kSampling);
      EXPECT_EQ(Environment::now(), mxcsr) << "not restored";
      EXPECT_TRUE(same_bits(got_scores, scores));
      EXPECT_TRUE(same_bits(got, draws));
      EXPECT_EQ(kl_means(context), means);
      EXPECT_EQ(policy_bits(context), policy);
      EXPECT_EQ(preference_bits(context), preference);
      if (mxcsr == 0) continue;  // our own maxima over the shards would trap
      const Sharded shards = in_shards(batch.tensor(), even_cuts(5000, 2), targets,
                                       {.temperature = 0.8f, .seed = 12, .draws = 3}, context);
      EXPECT_TRUE(same_as_whole(shards, scores, draws));
    }
  }
}
#endif

// Each output alone, and each left out, has the bits it has with all the others.
TEST(InvarianceMachine, OutputsAskedFor) {
  for (const std::int64_t columns : {7, 5000, 9000}) {
    Batch batch(healthy_rows(), columns, DType::bf16, 9);
    const std::int64_t rows = batch.rows();
    const auto targets = spread_targets(rows, columns);
    for (const float t : {1.0f, 0.5f, 0.0f}) {
      const Draws all = draws_of(batch.tensor(), {}, {.temperature = t, .seed = 1, .draws = 2});
      for (unsigned mask = 0; mask < 32; ++mask) {
        Draws some(all.rows, all.n);
        SampleArgs args{.logits = batch.tensor(),
                        .token = Tensor::of(some.token.data(), {rows, 2}),
                        .temperature = t,
                        .seed = 1,
                        .draws = 2};
        if (mask & 1) args.logprob = Tensor::of(some.logprob.data(), {rows, 2});
        if (mask & 2) args.raw_logprob = Tensor::of(some.raw_logprob.data(), {rows, 2});
        if (mask & 4) args.lse = Tensor::of(some.lse.data(), {rows});
        if (mask & 8) args.entropy = Tensor::of(some.entropy.data(), {rows});
        if (mask & 16) args.row_status = Tensor::of(some.status.data(), {rows});
        must(on::sample(args));
        // What wasn't asked for is untouched; fill it in to compare.
        if (!(mask & 1)) some.logprob = all.logprob;
        if (!(mask & 2)) some.raw_logprob = all.raw_logprob;
        if (!(mask & 4)) some.lse = all.lse;
        if (!(mask & 8)) some.entropy = all.entropy;
        if (!(mask & 16)) some.status = all.status;
        EXPECT_TRUE(same_bits(some, all)) << "V=" << columns << " T=" << t << " mask " << mask;
      }
    }
    const Scores all = scores_of(batch.tensor(), targets);
    for (unsigned mask = 0; mask < 256; ++mask) {
      Scores some(all.rows, all.k, all.n);
      const auto n = static_cast<std::int64_t>(all.n);
      TokenLogprobsArgs args{.logits = batch.tensor()};
      if (mask & 1) args.targets = Tensor::of(targets.data(), {rows});
      if (mask & 1) args.logprobs = Tensor::of(some.logprobs.data(), {rows});
      if ((mask & 3) == 3) args.rank = Tensor::of(some.rank.data(), {rows});
      if (mask & 4) args.lse = Tensor::of(some.lse.data(), {rows});
      if (mask & 8) args.entropy = Tensor::of(some.entropy.data(), {rows});
      if (mask & 16) args.argmax = Tensor::of(some.argmax.data(), {rows});
      if (mask & 32) args.top_ids = Tensor::of(some.top_ids.data(), {rows, n});
      if (mask & 64) args.top_logprobs = Tensor::of(some.top_logprobs.data(), {rows, n});
      if (mask & 128) args.row_status = Tensor::of(some.status.data(), {rows});
      must(on::token_logprobs(args));
      if (!(mask & 1)) some.logprobs = all.logprobs;
      if ((mask & 3) != 3) some.rank = all.rank;
      if (!(mask & 4)) some.lse = all.lse;
      if (!(mask & 8)) some.entropy = all.entropy;
      if (!(mask & 16)) some.argmax = all.argmax;
      if (!(mask & 32)) some.top_ids = all.top_ids;
      if (!(mask & 64)) some.top_logprobs = all.top_logprobs;
      if (!(mask & 128)) some.status = all.status;
      EXPECT_TRUE(same_bits(some, all)) << "V=" << columns << " mask " << mask;
    }
  }
}

}  // namespace
}  // namespace logsum::test
