// SPDX-License-Identifier: Apache-2.0
#include "logsum/importance_weights.hpp"

#include "support/all_machines.hpp"
#include "support/weights.hpp"

namespace logsum::test {
namespace {

using Floats = std::vector<float>;
constexpr auto kToken = ImportanceLevel::token;
constexpr auto kSequence = ImportanceLevel::sequence;
constexpr auto kTruncate = ImportanceMode::truncate;
constexpr auto kMask = ImportanceMode::mask;
constexpr auto kNone = ImportanceMode::none;

// Lengths around what a CTA adds at once, with short and empty sequences between.
const std::vector<std::int64_t> kLengths = {1, 0, 255, 256, 257, 2, 3000, 0, 31, 1025};

TEST(ImportanceWeights, AreWhatTheyAreDefinedToBe) {
  for (const float spread : {1e-6f, 0.02f, 1.0f, 8.0f}) {
    Rollout r = rollout(kLengths, spread);
    for (const bool is_masked : {false, true}) {
      if (is_masked) {
        r.mask.resize(r.old_logps.size());
        for (std::size_t i = 0; i < r.mask.size(); ++i) {
          r.mask[i] = static_cast<std::uint8_t>(i % 3 == 1 ? 0 : 1 + i % 255);
          if (!r.mask[i]) r.old_logps[i] = i % 2 ? kNaN : -kInf;  // must not be looked at
        }
      }
      for (const ImportanceWeightsArgs& args : importance_parameters())
        for (const Context& context : merge_contexts()) {
          SCOPED_TRACE(describe(args) + ", " + name_of(context));
          expect_true(weights_of(r, args, context), r, args);
          if (HasFatalFailure()) return;
        }
    }
    // Without the mask the garbage shows: the mask changes the answer.
    r.mask.clear();
    EXPECT_TRUE(std::isnan(weights_of(r).mean));
  }
}

TEST(ImportanceWeights, ParametersMatter) {
  // Sequences whose weights are e^1.5, and e^-1.
  const Rollout r{{-1, -2, -3, -1}, {-2, -2.5f, -2, -1}, {}, {2, 2}};
  const float e = std::exp(1.0f), s = std::exp(1.5f), t = std::exp(0.5f);
  for (const Context& context : merge_contexts()) {
    const auto all = [&](const ImportanceWeightsArgs& args) {
      return weights_of(r, args, context).weights;
    };
    const auto expect = [&](const ImportanceWeightsArgs& args, const Floats& wanted) {
      SCOPED_TRACE(describe(args) + ", " + name_of(context));
      for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(all(args)[i], wanted[i], 1e-6f);
    };
    expect({}, {0, 0, 1 / e, 1 / e});
    expect({.clip_max = 5}, {s, s, 1 / e, 1 / e});
    expect({.clip_min = 0.5f}, {0, 0, 0, 0});
    expect({.mode = kTruncate}, {3, 3, 1 / e, 1 / e});
    expect({.mode = kTruncate, .clip_min = 0.5f, .clip_max = 4}, {4, 4, 0.5f, 0.5f});
    expect({.mode = kNone, .clip_min = 1, .clip_max = 1}, {s, s, 1 / e, 1 / e});
    expect({.level = kToken}, {e, t, 1 / e, 1});
    expect({.level = kToken, .clip_min = 0.5f, .clip_max = 2}, {0, t, 0, 1});
    expect({.level = kToken, .mode = kTruncate, .clip_min = 0.5f, .clip_max = 2}, {2, t, 0.5f, 1});
    expect({.level = kToken, .mode = kNone}, {e, t, 1 / e, 1});
  }
}

TEST(ImportanceWeights, BoundsBelongToTheBand) {
  const Rollout r{{0, 0, -1}, {0, 0, -1}, {}, {3}};
  for (const Context& context : merge_contexts())
    for (const auto level : {kToken, kSequence}) {
      const Weights w = weights_of(r, {.level = level, .clip_min = 1, .clip_max = 1}, context);
      EXPECT_EQ(w.weights, (Floats{1, 1, 1}));
      EXPECT_EQ(w.clipped, 0);
    }
}

TEST(ImportanceWeights, EqualLogProbsAreExactlyOne) {
  Rollout r = rollout(kLengths, 1);
  r.old_logps[7] = r.old_logps[300] = -kInf;
  r.old_logps[8] = 1e-40f;
  r.sampling = r.old_logps;
  for (const ImportanceWeightsArgs& args : importance_parameters())
    for (const Context& context : merge_contexts()) {
      const Weights w = weights_of(r, args, context);
      for (const float weight : w.weights) ASSERT_EQ(weight, 1);
      EXPECT_EQ(w.effective, static_cast<float>(r.tokens()));
      EXPECT_EQ(w.mean, 1);
      EXPECT_EQ(w.clipped, 0);
    }
}

TEST(ImportanceWeights, InfinitiesGiveLimitsAndNanStaysWhereItIs) {
  const Rollout r{{-kInf, -1, -1, -1, kNaN, -1, -1, -kInf, -1},
                  {-1, -kInf, -1, -100, -1, kNaN, -1, -1, -kInf},
                  {},
                  {1, 1, 1, 1, 2, 1, 2}};
  for (const Context& context : merge_contexts()) {
    for (const auto level : {kToken, kSequence}) {
      Weights w = weights_of(r, {.level = level, .mode = kNone}, context);
      EXPECT_EQ(w.weights[0], 0);
      EXPECT_EQ(w.weights[1], kInf);
      EXPECT_EQ(w.weights[2], 1);
      EXPECT_EQ(w.weights[3], kInf);  // e^99
      EXPECT_TRUE(std::isnan(w.weights[4]) && std::isnan(w.weights[5]));
      EXPECT_EQ(w.weights[6], 1);
      EXPECT_EQ(std::isnan(w.weights[7]), level == kSequence);  // −∞ + ∞
      EXPECT_EQ(w.clipped, 0);
      EXPECT_TRUE(std::isnan(w.mean) && std::isnan(w.effective));
      w = weights_of(r, {.level = level, .mode = kTruncate, .clip_min = 0.5f}, context);
      EXPECT_EQ(w.weights[0], 0.5f);
      EXPECT_EQ(w.weights[1], 3);
      EXPECT_TRUE(std::isnan(w.weights[4]));
      w = weights_of(r, {.level = level}, context);
      EXPECT_EQ(w.weights[1], 0);
      EXPECT_TRUE(std::isnan(w.weights[4]));
      EXPECT_EQ(w.weights[6], 1);
    }
    // A weight beyond f32, and none but zeros.
    const Weights huge = weights_of({{0, 0}, {-89, 0}, {}, {1, 1}}, {.mode = kNone}, context);
    EXPECT_EQ(huge.weights[0], kInf);
    EXPECT_EQ(huge.mean, kInf);
    EXPECT_TRUE(std::isnan(huge.effective));
    const Weights zeros = weights_of({{0, 0}, {-89, -9}, {}, {1, 1}}, {}, context);
    EXPECT_EQ(zeros.effective, 0);
    EXPECT_EQ(zeros.mean, 0);
    EXPECT_EQ(zeros.clipped, 1);
  }
}

TEST(ImportanceWeights, NoTokensNoStatistics) {
  Rollout masked = rollout({5, 3}, 1);
  masked.mask.resize(8, 0);
  for (const Context& context : merge_contexts())
    for (const Rollout& r : {masked, Rollout{}, Rollout{{}, {}, {}, {0, 0}}}) {
      const Weights w = weights_of(r, {}, context);
      EXPECT_EQ(w.count, 0);
      EXPECT_EQ(w.effective, 0);
      EXPECT_EQ(w.mean, 0);
      EXPECT_EQ(w.clipped, 0);
      for (const float weight : w.weights) EXPECT_EQ(weight, 1);
    }
}

TEST(ImportanceWeights, BitsAreTheSameEverywhere) {
  std::vector<std::int64_t> lengths;
  for (const std::int64_t sequences : {1, 10, 300})
    for (const ImportanceWeightsArgs& args : importance_parameters()) {
      while (std::int64_t(lengths.size()) < sequences)
        lengths.push_back(kLengths[lengths.size() % kLengths.size()]);
      const Rollout r = rollout(lengths, 0.02f, 5);
      const Weights first = weights_of(r, args, fast_contexts()[0]);
      for (const Context& context : all_machines()) {
        SCOPED_TRACE(describe(args) + ", " + name_of(context));
        ASSERT_TRUE(same_bits(weights_of(r, args, context), first));
      }
    }
}

TEST(ImportanceWeights, UsesTheWorkspaceItAsksFor) {
  const Rollout r = rollout({300, 300, 300}, 0.02f);
  Floats weights(900), mean(1);
  ImportanceWeightsArgs args{.old_per_token_logps = Tensor::of(r.old_logps.data(), {3, 300}),
                             .sampling_per_token_logps = Tensor::of(r.sampling.data(), {3, 300}),
                             .weights = Tensor::of(weights.data(), {3, 300})};
  EXPECT_EQ(on::importance_weights_workspace_size(args), 0u);
  must_weigh(args, {});
  EXPECT_EQ(weights, weights_of(r).weights);
  args.mean_weight = Tensor::of(mean.data(), {});
  const std::size_t size = on::importance_weights_workspace_size(args);
  std::vector<std::uint64_t> memory(size / 8 + 1, 0x1234567890abcdef);
  must_weigh(args, {.workspace = {memory.data(), size}});
  EXPECT_EQ(memory.back(), 0x1234567890abcdef);
  EXPECT_TRUE(same_bits(mean[0], weights_of(r).mean));
  EXPECT_EQ(on::importance_weights(args, {.workspace = {memory.data(), size - 8}}).code(),
            StatusCode::out_of_memory);
}

}  // namespace
}  // namespace logsum::test
