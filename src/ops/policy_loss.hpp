// SPDX-License-Identifier: Apache-2.0
// policy_loss after validation: where a token's inputs are, what becomes of a token, and the sums.
#pragma once

#include "core/lane_sums.hpp"
#include "core/policy_terms.hpp"
#include "logsum/policy_loss.hpp"
#include "ops/loss_plan.hpp"

namespace logsum {

// What the whole batch has in common.
struct PolicyTotals : LossTotals {
  double per_unit = 0;     // 1/N of the aggregation
  double per_entropy = 0;  // entropy_coef/N of the entropy's mean
};

// What tokens add up to.
struct PolicySums {
  double loss = 0, kl = 0, entropy = 0, ratio = 0, ratio_squared = 0;
  double ratio_min = std::numeric_limits<double>::infinity();
  double ratio_max = -std::numeric_limits<double>::infinity();
  std::int64_t scored = 0, bad = 0, clip_low = 0, clip_high = 0;

  LOGSUM_HOST_DEVICE void add(const PolicySums& other) {
    loss += other.loss;
    kl += other.kl;
    entropy += other.entropy;
    ratio += other.ratio;
    ratio_squared += other.ratio_squared;
    ratio_min = other.ratio_min < ratio_min ? other.ratio_min : ratio_min;
    ratio_max = other.ratio_max > ratio_max ? other.ratio_max : ratio_max;
    scored += other.scored;
    bad += other.bad;
    clip_low += other.clip_low;
    clip_high += other.clip_high;
  }
};

struct PolicyLossPlan : LossPlan {
  ElementsView old_logps, ref_logps, sampling_logps, entropy_mask;
  TokenOrSequenceView advantages, weights;
  ElementsView loss, per_token_loss, per_token_logps, per_token_kl, entropy, metrics, row_status;
  PolicyOptions options;
  ScalarView normalizer, entropy_normalizer;

  LOGSUM_HOST_DEVICE bool keeps_loss(std::int64_t row) const {
    return !entropy_mask || flag(entropy_mask, row);
  }

  LOGSUM_HOST_DEVICE PolicyToken token(const ListedRow& at, float logp) const {
    PolicyToken t;
    t.logp = static_cast<double>(logp);
    t.old = old_logps ? old_logps.real(at.row) : t.logp;
    t.has_ref = static_cast<bool>(ref_logps);
    t.ref = t.has_ref ? ref_logps.real(at.row) : t.logp;
    t.sampling = sampling_logps ? sampling_logps.real(at.row) : t.old;
    t.advantage = advantages.at(at.row, at.sequence);
    t.weight = weights.tensor ? weights.at(at.row, at.sequence) : 1;
    t.keeps_loss = keeps_loss(at.row);
    return t;
  }

  LOGSUM_HOST_DEVICE PolicySequence sequence(const PolicyCoupling& sum, double length,
                                             std::int64_t sequence) const {
    const bool has_own_weight = weights.tensor && weights.is_per_sequence;
    return sequence_of(options, sum, length, has_own_weight,
                       has_own_weight ? weights.at(0, sequence) : 1);
  }

  LOGSUM_HOST_DEVICE PolicyTotals totals(std::int64_t kept, std::int64_t kept_with_loss,
                                         std::int64_t nonempty) const {
    PolicyTotals t;
    t.kept = kept;
    double n = normalizer();
    const bool is_given = normalizer.tensor || n != 0;
    double n_entropy = entropy_normalizer();
    const bool is_entropy_given = entropy_normalizer.tensor || n_entropy != 0;
    t.grad_scale = grad_scale();
    t.is_valid = is_normalizer(n) && is_normalizer(n_entropy) && is_finite(t.grad_scale);
    if (!is_given) n = counted_normalizer(kept, nonempty);
    if (!is_entropy_given)
      n_entropy = is_given && options.aggregation == Aggregation::token_mean
                      ? n
                      : static_cast<double>(kept_with_loss);
    t.per_unit = 1 / (n == 0 ? 1 : n);
    t.per_entropy = static_cast<double>(options.entropy_coef) / (n_entropy == 0 ? 1 : n_entropy);
    return t;
  }

  LOGSUM_HOST_DEVICE double unit(const PolicyTotals& totals, double length) const {
    return options.aggregation == Aggregation::sequence_mean ? totals.per_unit / length
                                                             : totals.per_unit;
  }

  // g of a token whose ratio is its own, or of one whose sequence's tokens have Σ u·slope.
  LOGSUM_HOST_DEVICE double own_gradient(const PolicyTotals& totals, double length,
                                         const PolicyTerms& terms) const {
    return product(unit(totals, length), terms.direct + product(terms.share, terms.slope));
  }
  LOGSUM_HOST_DEVICE double coupled_gradient(const PolicyTotals& totals, double length,
                                             double slope, const PolicyTerms& terms) const {
    if (!has_sequence_ratio(options)) return own_gradient(totals, length, terms);
    return product(unit(totals, length), terms.direct) + product(terms.share, slope / length);
  }
  LOGSUM_HOST_DEVICE RowDerivatives derivatives(const ListedRow& at, const PolicyTotals& totals,
                                                double g) const {
    return {g, keeps_loss(at.row) ? totals.per_entropy : 0};
  }

  // Writes what is known of a row that doesn't count.
  LOGSUM_HOST_DEVICE void write_masked(std::int64_t row) const {
    per_token_loss.set(row, 0.0f);
    per_token_kl.set(row, 0.0f);
    per_token_logps.set(row, 0.0f);
    entropy.set(row, 0.0f);
    row_status.set_integer(row, 0, static_cast<int>(RowStatus::ignored));
  }

  // Writes a token's results and returns what it adds to the sums. `u`: the aggregation's weight.
  // `status` may become overflow.
  LOGSUM_HOST_DEVICE PolicySums write_token(const ListedRow& at, double u, const PolicyTerms& terms,
                                            const RowDerivatives& derivatives, float logp,
                                            float row_entropy, RowStatus& status) const {
    PolicySums sums;
    const bool is_scored = status == RowStatus::ok;
    const double value = is_scored ? terms.loss : static_cast<double>(kNan);
    const double kl = is_scored ? terms.kl : static_cast<double>(kNan);
    const double h = has_entropy ? static_cast<double>(row_entropy) : 0;
    sums.loss = u * value - product(derivatives.c, h);
    if (is_scored &&
        !(fits_f32(value) && fits_f32(derivatives.g) && fits_f32(kl) && terms.ratio == terms.ratio))
      status = RowStatus::overflow;
    per_token_loss.set(at.row, static_cast<float>(value));
    per_token_kl.set(at.row, static_cast<float>(kl));
    per_token_logps.set(at.row, logp);
    entropy.set(at.row, row_entropy);
    row_status.set_integer(at.row, 0, static_cast<int>(status));
    if (status != RowStatus::ok) {
      sums.bad = 1;
      return sums;
    }
    sums.scored = 1;
    sums.kl = kl;
    sums.entropy = h;
    sums.ratio = sums.ratio_min = sums.ratio_max = terms.ratio;
    sums.ratio_squared = terms.ratio * terms.ratio;
    sums.clip_low = terms.clip == PolicyClip::low;
    sums.clip_high = terms.clip == PolicyClip::high;
    return sums;
  }

  LOGSUM_HOST_DEVICE void write_totals(const PolicySums& sums) const {
    set_scalar(loss, sums.loss);
    if (!metrics) return;
    const auto set = [&](PolicyMetric metric, double value) {
      set_metric(metrics, static_cast<int>(metric), value);
    };
    const double n = static_cast<double>(sums.scored);
    const auto mean = [&](double sum) { return n > 0 ? sum / n : 0; };
    const auto low = static_cast<double>(sums.clip_low);
    const auto high = static_cast<double>(sums.clip_high);
    set(PolicyMetric::token_count, static_cast<double>(sums.scored + sums.bad));
    set(PolicyMetric::bad_count, static_cast<double>(sums.bad));
    set(PolicyMetric::clip_low, mean(low));
    set(PolicyMetric::clip_high, mean(high));
    set(PolicyMetric::clip_region, mean(low + high));
    set(PolicyMetric::kl, mean(sums.kl));
    set(PolicyMetric::entropy, mean(sums.entropy));
    set(PolicyMetric::ratio_min, n > 0 ? sums.ratio_min : 0);
    set(PolicyMetric::ratio_mean, mean(sums.ratio));
    set(PolicyMetric::ratio_max, n > 0 ? sums.ratio_max : 0);
    set(PolicyMetric::effective_sample_size,
        !(sums.ratio_squared > 0)        ? 0
        : !is_finite(sums.ratio_squared) ? 1  // one is infinitely more than the others
                                         : sums.ratio * sums.ratio / sums.ratio_squared);
  }

 private:
  LOGSUM_HOST_DEVICE double counted_normalizer(std::int64_t kept, std::int64_t nonempty) const {
    switch (options.aggregation) {
      case Aggregation::token_mean: return static_cast<double>(kept);
      case Aggregation::constant: return static_cast<double>(logits.rows);
      default:
        return static_cast<double>(options.count_empty_sequences ? sequences.count : nonempty);
    }
  }
};

// What is kept of the rows, and beside them.
struct PolicyRows : LossRows {
  PolicyTotals* totals;
  PolicySums* sums;  // [sequences]

  // Lays them out from `memory`; returns how many bytes they take.
  std::size_t lay(void* memory, std::size_t rows, std::size_t count, bool on_gpu) {
    Layout layout(memory);
    layout.take(totals, 1);
    LossRows::lay(layout, rows, count, on_gpu);
    layout.take(sums, count);
    return layout.used();
  }
  std::size_t lay(void* memory, const PolicyLossPlan& plan, bool on_gpu) {
    return lay(memory, static_cast<std::size_t>(plan.logits.rows),
               static_cast<std::size_t>(plan.sequences.count), on_gpu);
  }
};

}  // namespace logsum
