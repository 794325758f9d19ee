// SPDX-License-Identifier: Apache-2.0
// preference_loss with every output asked for: what a batch is made of, the call in some layout,
// and the comparison of its results to the bit. Outputs hold 99 before the call.
#pragma once

#include "logsum/preference_loss.hpp"
#include "support/loss_batch.hpp"

namespace logsum::test {

struct Preference : LossBatch {
  std::vector<float> ref_sums, ref_tokens;
  std::vector<std::uint8_t> desirable;
  PreferenceOptions options;
  double kl = 0, nll_normalizer = 0;

  bool is_paired() const { return options.loss != PreferenceLoss::kto; }
  std::int64_t pairs() const { return is_paired() ? sequences / 2 : sequences; }
  bool is_chosen(std::int64_t sequence) const {
    return is_paired() ? sequence < pairs() : desirable[std::size_t(sequence)] != 0;
  }
  // Whose result a sequence is part of.
  std::int64_t pair_of(std::int64_t sequence) const { return sequence % std::max(pairs(), {1}); }
};

inline void keep_rows(Preference& p, const std::vector<std::size_t>& rows) {
  keep_rows(static_cast<LossBatch&>(p), rows);
  keep(p.ref_tokens, rows);
}

// Arguments for a batch and memory of their results; `args` may be changed before a call.
class PreferenceCall : public LossTensors<Preference> {
 public:
  explicit PreferenceCall(const Preference& preference, const LossForm& form = {})
      : LossTensors(preference, form, kPreferenceMetrics),
        pair_loss(std::size_t(p.pairs()), 99),
        sums(std::size_t(p.sequences), 99),
        rewards(std::size_t(p.sequences), 99) {
    fill(args);
    if (!p.ref_sums.empty()) args.ref_logps = of_sequences(p.ref_sums);
    if (!p.ref_tokens.empty()) args.ref_per_token_logps = of_tokens(p.ref_tokens);
    if (!p.desirable.empty()) args.desirable = of_sequences(p.desirable);
    args.kl = p.kl;
    args.per_pair_loss = Tensor::of(pair_loss.data(), {p.pairs()});
    args.sequence_logps = of_sequences(sums);
    args.rewards = of_sequences(rewards);
    args.nll_normalizer = p.nll_normalizer;
  }

  PreferenceCall& run(const Context& context = {}) {
    must(on::preference_loss(args, context));
    EXPECT_TRUE(logits.canaries_live() && grad.canaries_live());
    return *this;
  }

  std::vector<float> pair_loss, sums, rewards;
  PreferenceLossArgs args;
};

// Pair i of a call and pair j of another: all results that are the pair's own but its tokens'.
inline ::testing::AssertionResult same_pair(const PreferenceCall& a, std::size_t i,
                                            const PreferenceCall& b, std::size_t j) {
  const char* differs = nullptr;
  if (!same_bits(a.pair_loss[i], b.pair_loss[j])) differs = "per_pair_loss";
  for (std::size_t half = 0; half < (a.p.is_paired() ? 2 : 1); ++half) {
    const std::size_t of_a = i + half * a.pair_loss.size(), of_b = j + half * b.pair_loss.size();
    if (!same_bits(a.sums[of_a], b.sums[of_b])) differs = "sequence_logps";
    if (!same_bits(a.rewards[of_a], b.rewards[of_b])) differs = "rewards";
  }
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of pairs " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_row(const PreferenceCall& a, std::size_t i,
                                           const PreferenceCall& b, std::size_t j) {
  const char* differs = row_difference(a, i, b, j);
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_results(const PreferenceCall& a, const PreferenceCall& b) {
  for (std::size_t i = 0; i < a.p.rows(); ++i)
    if (auto same = same_row(a, i, b, i); !same) return same;
  for (std::size_t i = 0; i < a.pair_loss.size(); ++i)
    if (auto same = same_pair(a, i, b, i); !same) return same;
  return same_totals(a, b);
}

}  // namespace logsum::test
