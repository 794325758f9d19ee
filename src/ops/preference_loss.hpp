// SPDX-License-Identifier: Apache-2.0
// preference_loss after validation: where a sequence's inputs are, what becomes of a pair, and the
// sums.
#pragma once

#include "core/preference_terms.hpp"
#include "logsum/preference_loss.hpp"
#include "ops/loss_plan.hpp"

namespace logsum {

// What the whole batch has in common.
struct PreferenceTotals : LossTotals {
  double per_pair = 0;  // 1/N
  double per_nll = 0;   // nll_coef/N_nll
  double kl = 0;
};

// What a sequence's tokens have in common: dloss/dlogp.
struct PreferenceSlope {
  double g = 0;
  bool is_good = false;  // the pair's loss is within f32
};

// What pairs add up to.
struct PreferenceSums {
  double loss = 0, chosen_reward = 0, rejected_reward = 0, nll = 0, nll_tokens = 0;
  std::int64_t good = 0, bad = 0, right = 0, chosen = 0, rejected = 0;

  LOGSUM_HOST_DEVICE void add(const PreferenceSums& other) {
    loss += other.loss;
    chosen_reward += other.chosen_reward;
    rejected_reward += other.rejected_reward;
    nll += other.nll;
    nll_tokens += other.nll_tokens;
    good += other.good;
    bad += other.bad;
    right += other.right;
    chosen += other.chosen;
    rejected += other.rejected;
  }
};

struct PreferenceRows;

struct PreferenceLossPlan : LossPlan {
  ElementsView ref_logps, ref_per_token_logps, desirable;
  ElementsView loss, per_pair_loss, sequence_logps, rewards, per_token_logps, metrics, row_status;
  PreferenceOptions options;
  ScalarView kl, normalizer, nll_normalizer;

  LOGSUM_HOST_DEVICE bool is_paired() const { return options.loss != PreferenceLoss::kto; }
  LOGSUM_HOST_DEVICE std::int64_t pairs() const {
    return is_paired() ? sequences.count / 2 : sequences.count;
  }
  // The sequence beside that with a pair's number.
  LOGSUM_HOST_DEVICE std::int64_t other_of(std::int64_t pair) const {
    return is_paired() ? pair + pairs() : pair;
  }
  LOGSUM_HOST_DEVICE bool is_chosen(std::int64_t sequence) const {
    return is_paired() ? sequence < pairs() : flag(desirable, sequence);
  }

  // What nll_coef makes of the sequence is within f32 too.
  LOGSUM_HOST_DEVICE bool nll_fits(std::int64_t i, const PreferenceSequence& sequence) const {
    return options.nll_coef == 0 || !is_chosen(i) || fits_f32(sequence.logps);
  }

  // What a token that counts adds to its sequence, and what that comes to.
  LOGSUM_HOST_DEVICE PreferenceSequence token(std::int64_t row, float logp) const {
    return {static_cast<double>(logp), ref_per_token_logps ? ref_per_token_logps.real(row) : 0, 1};
  }
  LOGSUM_HOST_DEVICE PreferenceSequence sequence(PreferenceSequence sum,
                                                 std::int64_t sequence) const {
    if (ref_logps) sum.ref = ref_logps.real(sequence);
    return sum;
  }

  // `nll_tokens`: of chosen or desirable sequences.
  LOGSUM_HOST_DEVICE PreferenceTotals totals(std::int64_t kept, std::int64_t nll_tokens) const {
    PreferenceTotals t;
    t.kept = kept;
    t.grad_scale = grad_scale();
    const double n = divisor(normalizer, pairs()), n_nll = divisor(nll_normalizer, nll_tokens);
    const double given_kl = kl();
    t.is_valid =
        is_normalizer(n) && is_normalizer(n_nll) && is_finite(t.grad_scale) && is_finite(given_kl);
    t.kl = given_kl > 0 ? given_kl : 0;
    t.per_pair = t.is_valid ? 1 / n : static_cast<double>(kNan);
    t.per_nll = static_cast<double>(options.nll_coef) / n_nll;
    return t;
  }

  // Of the sequences of a pair, `own` and `other` (kto: the same one).
  LOGSUM_HOST_DEVICE PreferenceTerms terms(const PreferenceTotals& totals, std::int64_t pair,
                                           const PreferenceSequence& own,
                                           const PreferenceSequence& other) const {
    return is_paired() ? pair_terms(options, own, other)
                       : kto_terms(options, own, is_chosen(pair), totals.kl);
  }

  // Writes a pair's results, and `slopes` of its sequences if not null; returns what it adds to the
  // sums.
  LOGSUM_HOST_DEVICE PreferenceSums write_pair(const PreferenceTotals& totals, std::int64_t pair,
                                               const PreferenceTerms& of_pair,
                                               const PreferenceSequence& own,
                                               const PreferenceSequence& other,
                                               PreferenceSlope* slopes) const {
    const bool is_good = fits_f32(of_pair.loss) && nll_fits(pair, own) &&
                         (!is_paired() || nll_fits(other_of(pair), other));
    PreferenceSums sums;
    sums.loss = totals.per_pair * of_pair.loss;
    add_sequence(totals, pair, own, {of_pair.chosen, is_good}, slopes, sums);
    if (is_paired())
      add_sequence(totals, other_of(pair), other, {of_pair.rejected, is_good}, slopes, sums);
    per_pair_loss.set(pair, static_cast<float>(of_pair.loss));
    sums.good = is_good;
    sums.bad = !is_good;
    sums.right = is_good && of_pair.is_right;
    return sums;
  }

  // Of a pair whose sequences' sums are known.
  LOGSUM_HOST_DEVICE PreferenceSums finish_pair(const PreferenceRows& rows,
                                                std::int64_t pair) const;
  // Of a pair whose sequences have no tokens.
  LOGSUM_HOST_DEVICE PreferenceSums finish_empty_pair(const PreferenceTotals& totals,
                                                      std::int64_t pair) const {
    const PreferenceSequence own = sequence({}, pair), other = sequence({}, other_of(pair));
    return write_pair(totals, pair, terms(totals, pair, own, other), own, other, nullptr);
  }

  // Writes what is known of a row that doesn't count.
  LOGSUM_HOST_DEVICE void write_masked(std::int64_t row) const {
    per_token_logps.set(row, 0.0f);
    row_status.set_integer(row, 0, static_cast<int>(RowStatus::ignored));
  }

  // Writes a token's results. `status` may become overflow.
  LOGSUM_HOST_DEVICE void write_token(std::int64_t row, const PreferenceSlope& slope, float logp,
                                      RowStatus& status) const {
    if (status == RowStatus::ok && !(slope.is_good && fits_f32(slope.g)))
      status = RowStatus::overflow;
    per_token_logps.set(row, logp);
    row_status.set_integer(row, 0, static_cast<int>(status));
  }

  LOGSUM_HOST_DEVICE void write_totals(const PreferenceSums& sums) const {
    set_scalar(loss, sums.loss);
    if (!metrics) return;
    const auto set = [&](PreferenceMetric metric, double value) {
      set_metric(metrics, static_cast<int>(metric), value);
    };
    const auto mean = [](double sum, double n) { return n > 0 ? sum / n : 0; };
    const auto good = static_cast<double>(sums.good), bad = static_cast<double>(sums.bad);
    const double chosen = mean(sums.chosen_reward, static_cast<double>(sums.chosen));
    const double rejected = mean(sums.rejected_reward, static_cast<double>(sums.rejected));
    const bool has_both = sums.chosen > 0 && sums.rejected > 0;
    set(PreferenceMetric::pair_count, good + bad);
    set(PreferenceMetric::bad_count, bad);
    set(PreferenceMetric::chosen_reward, chosen);
    set(PreferenceMetric::rejected_reward, rejected);
    set(PreferenceMetric::reward_accuracy, mean(static_cast<double>(sums.right), good));
    set(PreferenceMetric::reward_margin, has_both ? chosen - rejected : 0);
    set(PreferenceMetric::nll, mean(sums.nll, sums.nll_tokens));
  }

 private:
  // Of a scalar that may be given; a 0 that is counts as 1, as none counted does.
  LOGSUM_HOST_DEVICE static double divisor(const ScalarView& given, std::int64_t counted) {
    const double value = given();
    const double n = given.tensor || value != 0 ? value : static_cast<double>(counted);
    return n == 0 ? 1 : n;
  }

  LOGSUM_HOST_DEVICE void add_sequence(const PreferenceTotals& totals, std::int64_t i,
                                       const PreferenceSequence& sequence, PreferenceSlope slope,
                                       PreferenceSlope* slopes, PreferenceSums& sums) const {
    const bool chosen = is_chosen(i);
    const double reward = reward_of(options, sequence);
    sequence_logps.set(i, static_cast<float>(sequence.logps));
    rewards.set(i, static_cast<float>(reward));
    slope.g *= totals.per_pair;
    if (chosen) {
      slope.g -= totals.per_nll;
      sums.loss -= product(totals.per_nll, sequence.logps);
    }
    if (slopes) slopes[i] = slope;
    if (!slope.is_good) return;
    (chosen ? sums.chosen_reward : sums.rejected_reward) += reward;
    ++(chosen ? sums.chosen : sums.rejected);
    if (!chosen) return;
    sums.nll = 0 - sequence.logps;
    sums.nll_tokens = sequence.length;
  }
};

// What is kept of the rows, and beside them.
struct PreferenceRows : LossRows {
  PreferenceTotals* totals;
  PreferenceSequence* sums;  // [sequences]
  PreferenceSlope* slopes;   // [sequences]

  // Lays them out from `memory`; returns how many bytes they take.
  std::size_t lay(void* memory, std::size_t rows, std::size_t count, bool on_gpu) {
    Layout layout(memory);
    layout.take(totals, 1);
    LossRows::lay(layout, rows, count, on_gpu);
    layout.take(sums, count);
    layout.take(slopes, count);
    return layout.used();
  }
  std::size_t lay(void* memory, const PreferenceLossPlan& plan, bool on_gpu) {
    return lay(memory, static_cast<std::size_t>(plan.logits.rows),
               static_cast<std::size_t>(plan.sequences.count), on_gpu);
  }
};

LOGSUM_HOST_DEVICE inline PreferenceSums PreferenceLossPlan::finish_pair(const PreferenceRows& rows,
                                                                         std::int64_t pair) const {
  const PreferenceSequence own = rows.sums[pair], other = rows.sums[other_of(pair)];
  return write_pair(*rows.totals, pair, terms(*rows.totals, pair, own, other), own, other,
                    rows.slopes);
}

}  // namespace logsum
