// SPDX-License-Identifier: Apache-2.0
// A sequence's weights are its own: packed or in a row, padded, strided, in any slot; and whatever
// cu_seqlens holds, nothing is read or written outside.
#include "support/layouts.hpp"
#include "support/weights.hpp"

namespace logsum::test {
namespace {

using Floats = std::vector<float>;

// A rollout's sequences as rows of `width`, what lies behind them masked garbage.
struct Padded {
  std::int64_t rows, width;
  Floats old_logps, sampling, weights;
  Mask mask;

  Padded(const Rollout& r, std::int64_t columns)
      : rows(r.sequences()),
        width(columns),
        old_logps(std::size_t(rows * width), kNaN),
        sampling(old_logps.size(), kInf),
        weights(old_logps.size(), 99),
        mask(old_logps.size(), 0) {
    std::size_t token = 0;
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t t = 0; t < r.lengths[std::size_t(row)]; ++t, ++token) {
        const auto at = std::size_t(row * width + t);
        old_logps[at] = r.old_logps[token];
        sampling[at] = r.sampling[token];
        mask[at] = r.counts(token);
      }
  }
  ImportanceWeightsArgs with(ImportanceWeightsArgs args) {
    args.old_per_token_logps = Tensor::of(old_logps.data(), {rows, width});
    args.sampling_per_token_logps = Tensor::of(sampling.data(), {rows, width});
    args.completion_mask = Tensor::of(mask.data(), {rows, width});
    args.weights = Tensor::of(weights.data(), {rows, width});
    return args;
  }
  // What the rollout's tokens got; the others must have got 1.
  Floats of_tokens(const Rollout& r) const {
    Floats packed;
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (std::int64_t(i) % width < r.lengths[i / std::size_t(width)])
        packed.push_back(weights[i]);
      else
        EXPECT_EQ(weights[i], 1);
    return packed;
  }
};

TEST(ImportanceWeightsLayout, PackedAndPaddedAgree) {
  Rollout r = rollout({300, 1, 0, 257, 40, 299}, 0.02f);
  r.mask.resize(r.old_logps.size());
  for (std::size_t i = 0; i < r.mask.size(); ++i) r.mask[i] = i % 4 != 1;
  for (const ImportanceWeightsArgs& args : importance_parameters())
    for (const Context& context : merge_contexts())
      for (const std::int64_t width : {300, 1000}) {
        SCOPED_TRACE(describe(args) + ", " + name_of(context));
        const Weights packed = weights_of(r, args, context);
        Padded padded(r, width);
        Weights w;
        must_weigh(padded.with(with_statistics(w, args)), context);
        w.weights = padded.of_tokens(r);
        ASSERT_TRUE(same_bits(w, packed));
      }
}

TEST(ImportanceWeightsLayout, AloneOrInAnySlot) {
  const Rollout all = rollout({700, 3, 300, 0, 64}, 0.02f);
  for (const ImportanceWeightsArgs& args : importance_parameters()) {
    const Floats together = weights_of(all, args).weights;
    std::int64_t begin = 0;
    for (const std::int64_t length : all.lengths) {
      const std::int64_t end = begin + length;
      const Rollout one{Floats(all.old_logps.begin() + begin, all.old_logps.begin() + end),
                        Floats(all.sampling.begin() + begin, all.sampling.begin() + end),
                        {},
                        {length}};
      const Floats alone = weights_of(one, args).weights;
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + begin));
      begin = end;
    }
  }
}

TEST(ImportanceWeightsLayout, AnyStrides) {
  const std::int64_t rows = 4, width = 50;
  const Rollout r = rollout({width, width, width, width}, 0.02f);
  const Weights first = weights_of(r);
  for (const Layout& layout : layouts_of_last_dim()) {
    SCOPED_TRACE(layout.name);
    Rows old_logps(layout, rows, width, DType::f32), sampling(layout, rows, width, DType::f32),
        weights(layout, rows, width, DType::f32);
    for (std::int64_t i = 0; i < rows * width; ++i) {
      old_logps.set(i / width, i % width, r.old_logps[std::size_t(i)]);
      sampling.set(i / width, i % width, r.sampling[std::size_t(i)]);
    }
    Weights w;
    must_weigh(with_statistics(w, {.old_per_token_logps = old_logps.tensor(),
                                   .sampling_per_token_logps = sampling.tensor(),
                                   .weights = weights.tensor()}),
               {});
    for (std::int64_t i = 0; i < rows * width; ++i)
      w.weights.push_back(weights.get(i / width, i % width));
    ASSERT_TRUE(same_bits(w, first));
  }
  // One sequence needs no rows.
  Floats alone(50);
  must_weigh({.old_per_token_logps = Tensor::of(r.old_logps.data(), {width}),
              .sampling_per_token_logps = Tensor::of(r.sampling.data(), {width}),
              .weights = Tensor::of(alone.data(), {width})},
             {});
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), first.weights.begin()));
}

// Weights of 12 tokens in sequences that `cuts` cut.
template <class Integer>
Weights cut_by(const Rollout& r, const std::vector<Integer>& cuts, const Context& context) {
  Weights w;
  w.weights.resize(14, 99);  // the last two aren't the call's
  must_weigh(with_statistics(w, {.old_per_token_logps = Tensor::of(r.old_logps.data(), {12}),
                                 .sampling_per_token_logps = Tensor::of(r.sampling.data(), {12}),
                                 .cu_seqlens = Tensor::of(cuts.data(), {std::int64_t(cuts.size())}),
                                 .weights = Tensor::of(w.weights.data(), {12}),
                                 .mode = ImportanceMode::none}),
             context);
  EXPECT_EQ(w.weights[12], 99);
  EXPECT_EQ(w.weights[13], 99);
  return w;
}

TEST(ImportanceWeightsLayout, CuSeqlensOfEitherTypeAndAnyValue) {
  const Rollout r = rollout({12}, 1);
  constexpr std::int64_t kMost = INT64_MAX, kLeast = INT64_MIN;
  for (const Context& context : merge_contexts()) {
    const Weights first = cut_by<std::int64_t>(r, {0, 5, 12}, context);
    EXPECT_TRUE(same_bits(cut_by<std::int32_t>(r, {0, 5, 12}, context), first));
    EXPECT_FALSE(same_bits(cut_by<std::int32_t>(r, {0, 6, 12}, context), first));
    // The first is 0, and what is beyond N is N.
    EXPECT_TRUE(same_bits(cut_by<std::int64_t>(r, {3, 5, kMost}, context), first));
    EXPECT_TRUE(same_bits(cut_by<std::int64_t>(r, {kLeast, 5, 13}, context), first));
    // Behind the last sequence tokens are as masked.
    const Weights less = cut_by<std::int64_t>(r, {0, 5, 9}, context);
    EXPECT_EQ(less.count, 9);
    EXPECT_EQ(less.weights[4], first.weights[4]);
    EXPECT_NE(less.weights[8], first.weights[8]);
    for (std::size_t i = 9; i < 12; ++i) EXPECT_EQ(less.weights[i], 1);
    EXPECT_EQ(cut_by<std::int32_t>(r, {0}, context).count, 0);
    EXPECT_EQ(cut_by<std::int32_t>(r, {0}, context).weights[0], 1);
    // Nonsense stays inside.
    for (const std::vector<std::int64_t>& cuts : std::vector<std::vector<std::int64_t>>{
             {0, 9, 3, 12}, {12, 0, 12, 0}, {kMost, kLeast, kMost}, {0, -5, -5}, {kMost}})
      for (const float w : cut_by<std::int64_t>(r, cuts, context).weights) EXPECT_GT(w, 0);
  }
}

}  // namespace
}  // namespace logsum::test
