// SPDX-License-Identifier: Apache-2.0
// importance_weights with every output asked for, and its definition in long double.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "logsum/importance_weights.hpp"
#include "support/matrix.hpp"

namespace logsum::test {

using Mask = std::vector<std::uint8_t>;

// Tokens under both, and which count; lengths of the sequences, one behind the other.
struct Rollout {
  std::vector<float> old_logps, sampling;
  Mask mask;
  std::vector<std::int64_t> lengths;

  std::int64_t tokens() const { return std::int64_t(old_logps.size()); }
  std::int64_t sequences() const { return std::int64_t(lengths.size()); }
  bool counts(std::size_t token) const { return mask.empty() || mask[token]; }
  template <class Integer>
  std::vector<Integer> cu_seqlens() const {
    std::vector<Integer> cuts = {0};
    for (const std::int64_t length : lengths) cuts.push_back(cuts.back() + Integer(length));
    return cuts;
  }
};

// Log-probs that differ by `spread` or so.
inline Rollout rollout(std::vector<std::int64_t> lengths, float spread, std::uint32_t seed = 1) {
  std::int64_t tokens = 0;
  for (const std::int64_t length : lengths) tokens += length;
  Rollout r{gaussian(tokens, seed, 1, -2), gaussian(tokens, seed + 1, spread, 0), {}, lengths};
  for (std::size_t i = 0; i < r.sampling.size(); ++i) r.sampling[i] += r.old_logps[i];
  return r;
}

// Outputs hold 99 before the call, so that one that isn't written shows.
struct Weights {
  std::vector<float> weights;
  std::int64_t count = 99;
  float effective = 99, mean = 99, clipped = 99;
};

inline ImportanceWeightsArgs with_statistics(Weights& w, ImportanceWeightsArgs args) {
  args.count = Tensor::of(&w.count, {});
  args.effective_sample_size = Tensor::of(&w.effective, {1});
  args.mean_weight = Tensor::of(&w.mean, {1, 1});
  args.clipped_fraction = Tensor::of(&w.clipped, {});
  return args;
}

inline void must_weigh(const ImportanceWeightsArgs& args, const Context& context) {
  const Status status = on::importance_weights(args, context);
  EXPECT_TRUE(status.ok()) << status.message();
}

// Packed; `args` brings parameters.
inline Weights weights_of(const Rollout& r, ImportanceWeightsArgs args = {},
                          const Context& context = {}) {
  Weights w;
  w.weights.resize(r.old_logps.size(), 99);
  const std::vector<std::int64_t> cuts = r.cu_seqlens<std::int64_t>();
  const std::int64_t n = r.tokens();
  args = with_statistics(w, args);
  args.old_per_token_logps = Tensor::of(r.old_logps.data(), {n});
  args.sampling_per_token_logps = Tensor::of(r.sampling.data(), {n});
  if (!r.mask.empty()) args.completion_mask = Tensor::of(r.mask.data(), {n});
  args.cu_seqlens = Tensor::of(cuts.data(), {r.sequences() + 1});
  args.weights = Tensor::of(w.weights.data(), {n});
  must_weigh(args, context);
  return w;
}

inline ::testing::AssertionResult same_bits(const Weights& a, const Weights& b) {
  const char* what = nullptr;
  for (std::size_t i = 0; i < a.weights.size(); ++i)
    if (!same_bits(a.weights[i], b.weights[i])) what = "weights";
  if (a.count != b.count) what = "count";
  if (!same_bits(a.effective, b.effective)) what = "effective_sample_size";
  if (!same_bits(a.mean, b.mean)) what = "mean_weight";
  if (!same_bits(a.clipped, b.clipped)) what = "clipped_fraction";
  if (what == nullptr) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << what << " differs";
}

inline bool is_near(double got, long double truth, long double relative) {
  if (std::isinf(static_cast<float>(truth))) return std::isinf(got);
  return std::fabs(got - truth) <= relative * std::fabs(truth) + 0x1p-149L;
}

// Compares finite tokens' weights, and the statistics of what was written, with the truth.
inline void expect_true(const Weights& got, const Rollout& r, const ImportanceWeightsArgs& args) {
  long double sum = 0, squares = 0, clipped = 0, count = 0;
  std::size_t token = 0;
  for (const std::int64_t length : r.lengths) {
    const std::size_t end = token + std::size_t(length);
    long double of_sequence = 0, sizes = 0;
    for (std::size_t t = token; t < end; ++t) {
      const long double d = static_cast<long double>(r.old_logps[t]) - r.sampling[t];
      if (r.counts(t)) of_sequence += d;
      if (r.counts(t)) sizes += std::fabs(d);
    }
    for (; token < end; ++token) {
      const float w = got.weights[token];
      if (!r.counts(token)) {
        ASSERT_EQ(w, 1.0f) << token;
        continue;
      }
      const long double own = static_cast<long double>(r.old_logps[token]) - r.sampling[token];
      const bool is_token = args.level == ImportanceLevel::token;
      const long double raw = std::exp(is_token ? own : of_sequence);
      const bool is_clipped =
          args.mode != ImportanceMode::none && (raw < args.clip_min || raw > args.clip_max);
      const long double truth = !is_clipped                         ? raw
                                : args.mode == ImportanceMode::mask ? 0
                                : raw < args.clip_min               ? args.clip_min
                                                                    : args.clip_max;
      const long double relative = 1e-7L + 0x1p-52L * (is_token ? std::fabs(own) : sizes);
      ASSERT_TRUE(is_near(w, truth, relative)) << token << ": " << w << ", not " << truth;
      sum += w;
      squares += static_cast<long double>(w) * w;
      clipped += is_clipped;
      ++count;
    }
  }
  EXPECT_EQ(got.count, std::int64_t(count));
  if (count == 0) return;
  EXPECT_TRUE(is_near(got.mean, sum / count, 1e-6L)) << got.mean;
  EXPECT_TRUE(is_near(got.clipped, clipped / count, 1e-6L)) << got.clipped;
  if (std::isinf(sum)) return;
  EXPECT_TRUE(is_near(got.effective, squares > 0 ? sum * sum / squares : 0, 1e-6L));
}

// Each level and mode, with bounds of one kind and the other.
inline std::vector<ImportanceWeightsArgs> importance_parameters() {
  std::vector<ImportanceWeightsArgs> all;
  for (const auto level : {ImportanceLevel::token, ImportanceLevel::sequence})
    for (const auto mode : {ImportanceMode::truncate, ImportanceMode::mask, ImportanceMode::none})
      for (const auto& [min, max] : std::vector<std::pair<float, float>>{{0, 3}, {0.5f, 1.25f}})
        all.push_back({.level = level, .mode = mode, .clip_min = min, .clip_max = max});
  return all;
}

inline std::string describe(const ImportanceWeightsArgs& args) {
  return "level " + std::to_string(int(args.level)) + ", mode " + std::to_string(int(args.mode)) +
         ", up to " + std::to_string(args.clip_max);
}

}  // namespace logsum::test
