// SPDX-License-Identifier: Apache-2.0
// A pair's results of preference_loss are its own: whatever the batch, the slot, the packing, the
// memory and the machine, to the bit.
#include <gtest/gtest.h>

#include <numeric>

#include "support/elsewhere.hpp"
#include "support/loss_properties.hpp"
#include "support/preference_text.hpp"
#include "support/tensors_of.hpp"

namespace logsum::test {
namespace {

constexpr std::size_t kTokens = 5;

std::vector<PreferenceOptions> all_options() {
  std::vector<PreferenceOptions> all = preference_losses();
  for (PreferenceOptions& o : all) o.nll_coef = 0.3f;
  return all;
}

// Completions of these lengths, padded, with every tensor; normalizers are given. What doesn't
// count is NaN.
Preference completions(const PreferenceOptions& options, std::int64_t columns,
                       const std::vector<std::size_t>& lengths, DType dtype = DType::f32,
                       ReferenceKind reference = ReferenceKind::tokens) {
  Preference p = preference_batch(options, std::int64_t(lengths.size()), kTokens, columns, 3, dtype,
                                  reference);
  for (std::size_t i = 0; i < p.rows(); ++i) {
    p.mask.push_back(i % kTokens < lengths[i / kTokens]);
    p.temperatures.push_back(0.7f + 0.125f * static_cast<float>(i % 4));
    if (p.mask[i]) continue;
    std::fill(p.logits[i].begin(), p.logits[i].end(), kNaN);
    p.targets[i] = -7;
    p.temperatures[i] = kNaN;
    if (!p.ref_tokens.empty()) p.ref_tokens[i] = kNaN;
  }
  p.normalizer = 5;
  p.nll_normalizer = 13;
  return p;
}
const std::vector<std::size_t> kLengths = {5, 3, 2, 1, 4, 5, 3, 0};

// Some pairs of a padded batch.
Preference with_pairs(Preference p, const std::vector<std::size_t>& pairs) {
  std::vector<std::size_t> sequences = pairs, rows;
  if (p.is_paired())
    for (const std::size_t pair : pairs) sequences.push_back(pair + std::size_t(p.pairs()));
  for (const std::size_t b : sequences)
    for (std::size_t t = 0; t < kTokens; ++t) rows.push_back(b * kTokens + t);
  keep(p.ref_sums, sequences);
  keep(p.desirable, sequences);
  p = with_rows(p, rows);
  p.sequences = std::int64_t(sequences.size());
  return p;
}

TEST(PreferenceLossRows, NeitherBatchNorSlotMatter) {
  for (const PreferenceOptions& options : all_options())
    for (const std::int64_t columns : {33, 9000}) {
      const Preference p = completions(options, columns, kLengths);
      PreferenceCall all(p);
      all.run();
      for (const std::vector<std::size_t>& pairs :
           std::vector<std::vector<std::size_t>>{{3, 2, 1, 0}, {2}, {1, 1, 0}, {3, 0}}) {
        PreferenceCall some(with_pairs(p, pairs));
        some.run();
        for (std::size_t i = 0; i < pairs.size(); ++i) {
          ASSERT_TRUE(same_pair(some, i, all, pairs[i])) << to_string(options.loss);
          for (std::size_t half = 0; half < (p.is_paired() ? 2 : 1); ++half)
            for (std::size_t t = 0; t < kTokens; ++t)
              ASSERT_TRUE(same_row(some, (i + half * pairs.size()) * kTokens + t, all,
                                   (pairs[i] + half * 4) * kTokens + t))
                  << to_string(options.loss);
        }
      }
    }
}

TEST(PreferenceLossRows, MaskedRowsArentReadAndAreZero) {
  for (const PreferenceOptions& options : all_options()) {
    const Preference p = completions(options, 1000, kLengths);
    PreferenceCall got(p);
    got.run();
    for (std::size_t i = 0; i < p.rows(); ++i) {
      // An empty rejected sequence is a sure one, whose odds are infinite.
      const bool is_lost =
          options.loss == PreferenceLoss::orpo && p.pair_of(std::int64_t(i / kTokens)) == 3;
      EXPECT_EQ(got.status_of(i), !p.counts(i) ? RowStatus::ignored
                                  : is_lost    ? RowStatus::overflow
                                               : RowStatus::ok)
          << i;
      if (p.counts(i)) continue;
      EXPECT_TRUE(got.gradient_is(i, 0.0f)) << i;
      EXPECT_TRUE(same_bits(got.logps[i], 0.0f)) << i;
    }
    // By ignore_index as by the mask, and both kinds of integers and of flags.
    Preference ignored = p;
    ignored.ignore_index = -7;
    ignored.mask.clear();
    PreferenceCall by_target(ignored);
    const std::vector<std::int32_t> narrow(p.targets.begin(), p.targets.end());
    by_target.args.targets = Tensor::of(narrow.data(), {p.sequences, p.tokens});
    EXPECT_TRUE(same_results(by_target.run(), got));
    PreferenceCall booleans(p);
    booleans.args.completion_mask.dtype = DType::boolean;
    if (!p.desirable.empty()) booleans.args.desirable.dtype = DType::boolean;
    EXPECT_TRUE(same_results(booleans.run(), got));
  }
}

TEST(PreferenceLossRows, PackedOrPadded) {
  for (const ReferenceKind reference : {ReferenceKind::sums, ReferenceKind::tokens})
    for (const PreferenceOptions& options : all_options()) {
      const Preference p = completions(options, 300, kLengths, DType::f32, reference);
      PreferenceCall padded(p);
      padded.run();
      std::vector<std::size_t> rows;
      PreferenceCall dense(packed(p, rows));
      dense.run();
      for (std::size_t i = 0; i < rows.size(); ++i)
        ASSERT_TRUE(same_row(dense, i, padded, rows[i]));
      for (std::size_t i = 0; i < dense.pair_loss.size(); ++i)
        ASSERT_TRUE(same_pair(dense, i, padded, i));
      EXPECT_TRUE(same_totals(dense, padded)) << to_string(options.loss);
      expect_packed_with_masked<PreferenceCall>(p, padded);
    }
}

TEST(PreferenceLossRows, HalvesOfABatchAddUpToItsBits) {
  for (const PreferenceOptions& options : all_options())
    for (const std::size_t pairs : {2u, 6u, 10u, 14u})
      for (const bool is_packed : {false, true}) {
        std::vector<std::size_t> lengths, rows;
        const bool is_kto = options.loss == PreferenceLoss::kto;
        // The empty one isn't a rejected one, whose odds are infinite.
        for (std::size_t i = 0; i < pairs * (is_kto ? 1 : 2); ++i)
          lengths.push_back(kLengths[i % 7]);
        const Preference p = completions(options, 200, lengths);
        const auto some = [&](std::size_t first, std::size_t count) {
          std::vector<std::size_t> indices(count);
          std::iota(indices.begin(), indices.end(), first);
          const Preference part = with_pairs(p, indices);
          return is_packed ? packed(part, rows) : part;
        };
        PreferenceCall whole(some(0, pairs)), left(some(0, pairs / 2)),
            right(some(pairs / 2, pairs / 2));
        whole.run();
        EXPECT_EQ(left.run().loss + right.run().loss, whole.loss) << to_string(options.loss);
        for (std::size_t i = 0; i < pairs; ++i)
          ASSERT_TRUE(
              same_pair(whole, i, i < pairs / 2 ? left : right, i < pairs / 2 ? i : i - pairs / 2));
      }
}

TEST(PreferenceLossRows, NeitherMemoryNorDtypeOfGradientMatter) {
  for (const PreferenceOptions& options : {all_options()[0], all_options().back()})
    for (const DType dtype : logits_dtypes())
      for (const std::int64_t columns : {33, 5000})
        expect_memory_doesnt_matter<PreferenceCall>(completions(options, columns, kLengths, dtype));
}

TEST(PreferenceLossRows, PaddedColumnsArentReadAndHaveNoGradient) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {33, 4096, 5000})
      expect_padded_columns_arent_read<PreferenceCall>(completions({}, columns, kLengths, dtype));
}

TEST(PreferenceLossRows, ThreadsAndTargetsDontMatter) {
  for (const PreferenceOptions& options : all_options())
    for (const std::int64_t columns : {1000, 33000})
      expect_machine_doesnt_matter<PreferenceCall>(completions(options, columns, kLengths));
}

TEST(PreferenceLossRows, OutputsDontMatterToOneAnother) {
  using A = PreferenceLossArgs;
  for (const PreferenceOptions& options : all_options()) {
    SCOPED_TRACE(to_string(options.loss));
    expect_outputs_dont_matter<PreferenceCall, A>(
        completions(options, 5000, kLengths),
        {&A::loss, &A::per_pair_loss, &A::sequence_logps, &A::rewards, &A::metrics,
         &A::per_token_logps, &A::row_status, &A::grad_logits},
        on::preference_loss);
  }
}

// Tokens and sequences of other strides.
TEST(PreferenceLossRows, AnyStrides) {
  for (const TokenStrides& s :
       {TokenStrides{1, 8, 0}, TokenStrides{-5, -1, 39}, TokenStrides{13, 2, 1}})
    for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto}) {
      const Preference p = completions({.loss = loss}, 300, kLengths);
      PreferenceCall first(p), got(p);
      first.run();
      PreferenceLossArgs& args = got.args;
      TokensElsewhere tokens({&args.targets, &args.completion_mask, &args.ref_per_token_logps,
                              &args.temperature.tensor},
                             {&args.per_token_logps, &args.row_status}, s);
      EveryOther metrics(got.metrics, args.metrics);
      EveryOther sums(got.sums, args.sequence_logps);
      // Backwards.
      const auto pairs = std::size_t(p.pairs());
      std::vector<float> backwards(pairs, 99);
      args.per_pair_loss.data = &backwards[pairs - 1];
      args.per_pair_loss.strides[0] = -1;
      got.run();
      tokens.copy_back();
      metrics.copy_back();
      sums.copy_back();
      for (std::size_t i = 0; i < pairs; ++i) got.pair_loss[i] = backwards[pairs - 1 - i];
      EXPECT_TRUE(same_results(got, first)) << s.of_sequence;
    }
}

// [2, 4, T, V] is eight sequences, the first half of them chosen; [T, V] is one, which kto takes.
TEST(PreferenceLossRows, MoreDimensionsAndFewer) {
  for (const ReferenceKind reference : {ReferenceKind::sums, ReferenceKind::tokens})
    for (const PreferenceLoss loss : {PreferenceLoss::sigmoid, PreferenceLoss::kto}) {
      const Preference p = completions({.loss = loss}, 300, kLengths, DType::f32, reference);
      PreferenceCall first(p), got(p);
      first.run();
      for (Tensor* t : tensors_of(got.args))
        if (t->rank >= 1 && t->shape[0] == 8) split_first_dimension(*t, 2, 4);
      EXPECT_TRUE(same_results(got.run(), first));
    }
  const Preference one = completions({.loss = PreferenceLoss::kto}, 300, {4});
  PreferenceCall batch(one), alone(one);
  batch.run();
  for (Tensor* t : tensors_of(alone.args))
    if (t->rank >= 2 && t->shape[0] == 1) drop_first_dimension(*t);
  alone.args.desirable.rank = alone.args.rewards.rank = 0;
  EXPECT_TRUE(same_results(alone.run(), batch));
}

// The sum of token_logprobs' bits is what a reference model's call would hand over: against itself
// the policy has neither margin nor reward.
TEST(PreferenceLossRows, AgainstItselfThereIsNoMargin) {
  for (const DType dtype : logits_dtypes())
    for (const Context& context : contract_contexts()) {
      Preference p = completions({.beta = 2}, 5000, kLengths, dtype);
      PreferenceCall scored(p);
      scored.run(context);
      p.ref_tokens = scored.logps;
      PreferenceCall got(p);
      got.run(context);
      for (const float reward : got.rewards) EXPECT_EQ(reward, 0);
      for (const float loss : got.pair_loss) EXPECT_EQ(loss, static_cast<float>(std::log(2.0)));
      EXPECT_EQ(got.metric(PreferenceMetric::reward_margin), 0);
    }
}

}  // namespace
}  // namespace logsum::test
