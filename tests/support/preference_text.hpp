// SPDX-License-Identifier: Apache-2.0
// The losses of preferences as TRL's trainers compute them, step by step in float64 from log-probs,
// and batches of every choice. Without a derivative: tests take differences.
#pragma once

#include <string>

#include "support/loss_text.hpp"
#include "support/preference.hpp"

namespace logsum::test {

struct PreferenceText {
  struct Result {
    double loss = 0;
    double size = 0;    // Σ of the terms' sizes
    double margin = 1;  // hinge: from where it begins
    std::vector<double> pair_loss, sums, rewards;
    double accuracy = 0, nll = 0, chosen_reward = 0, rejected_reward = 0;
  };

  const Preference& p;

  std::vector<std::size_t> kept(std::int64_t sequence) const {
    std::vector<std::size_t> rows;
    for (std::size_t i = p.begin_of(sequence); i < p.begin_of(sequence + 1); ++i)
      if (p.counts(i)) rows.push_back(i);
    return rows;
  }

  Result at(const std::vector<double>& lp) const {
    Result result;
    std::vector<double> ref, score;
    double nll_tokens = 0, chosen = 0, rejected = 0;
    for (std::int64_t b = 0; b < p.sequences; ++b) {
      double sum = 0, of_ref = p.ref_sums.empty() ? 0 : real(p.ref_sums[std::size_t(b)]);
      for (const std::size_t i : kept(b)) {
        sum += lp[i];
        if (!p.ref_tokens.empty()) of_ref += real(p.ref_tokens[i]);
      }
      const double n = std::max(1.0, static_cast<double>(kept(b).size()));
      const double ratio = sum - of_ref;
      score.push_back(p.options.length_average ? ratio / n : ratio);
      const bool is_free =
          p.options.loss == PreferenceLoss::simpo || p.options.loss == PreferenceLoss::orpo;
      result.sums.push_back(sum);
      result.rewards.push_back(beta() * (is_free ? score.back() : ratio));
      (p.is_chosen(b) ? chosen : rejected) += 1;
      (p.is_chosen(b) ? result.chosen_reward : result.rejected_reward) += result.rewards.back();
      if (!p.is_chosen(b)) continue;
      result.nll -= sum;
      nll_tokens += static_cast<double>(kept(b).size());
    }
    const auto pairs = static_cast<std::size_t>(p.pairs());
    const double n = p.normalizer != 0 ? p.normalizer : std::max(1.0, double(pairs));
    const double n_nll = p.nll_normalizer != 0 ? p.nll_normalizer : std::max(1.0, nll_tokens);
    for (std::size_t i = 0; i < pairs; ++i) {
      const double l = p.is_paired() ? of_pair(score[i], score[i + pairs], result.margin)
                                     : of_one(score[i], p.desirable[i] != 0);
      result.pair_loss.push_back(l);
      result.loss += l / n;
      result.size += std::fabs(l) / n;
      const bool is_right = p.is_paired()    ? result.rewards[i] > result.rewards[i + pairs]
                            : p.desirable[i] ? score[i] > std::max(p.kl, 0.0)
                                             : score[i] < std::max(p.kl, 0.0);
      result.accuracy += is_right / static_cast<double>(pairs);
    }
    const double of_nll = real(p.options.nll_coef) * result.nll / n_nll;
    result.loss += of_nll;
    result.size += of_nll;
    result.nll /= std::max(1.0, nll_tokens);
    result.chosen_reward /= std::max(1.0, chosen);
    result.rejected_reward /= std::max(1.0, rejected);
    return result;
  }

  static double real(float x) { return static_cast<double>(x); }

 private:
  double beta() const { return real(p.options.beta); }
  static double log_sigmoid(double x) { return -std::log1p(std::exp(-x)); }
  static double logistic(double x) { return 1 / (1 + std::exp(-x)); }

  double of_pair(double chosen, double rejected, double& margin) const {
    const double epsilon = real(p.options.label_smoothing), ratios = chosen - rejected;
    switch (p.options.loss) {
      case PreferenceLoss::sigmoid:
        return -log_sigmoid(beta() * ratios) * (1 - epsilon) -
               log_sigmoid(-beta() * ratios) * epsilon;
      case PreferenceLoss::hinge:
        margin = std::min(margin, std::fabs(1 - beta() * ratios));
        return std::max(0.0, 1 - beta() * ratios);
      case PreferenceLoss::ipo: return std::pow(ratios - 1 / (2 * beta()), 2);
      case PreferenceLoss::simpo: {
        const double logits = ratios - real(p.options.gamma) / beta();
        return -log_sigmoid(beta() * logits) * (1 - epsilon) -
               log_sigmoid(-beta() * logits) * epsilon;
      }
      default: {
        const double log_odds =
            ratios - (std::log1p(-std::exp(chosen)) - std::log1p(-std::exp(rejected)));
        return -beta() * log_sigmoid(log_odds);
      }
    }
  }

  double of_one(double ratio, bool desirable) const {
    const double kl = std::max(p.kl, 0.0);
    if (desirable) return real(p.options.desirable_weight) * (1 - logistic(beta() * (ratio - kl)));
    return real(p.options.undesirable_weight) * (1 - logistic(beta() * (kl - ratio)));
  }
};

enum class ReferenceKind { sums, tokens, none };

struct PreferenceChoice {
  PreferenceOptions options;
  ReferenceKind reference = ReferenceKind::none;
  MaskKind mask = MaskKind::none;

  std::string name() const {
    return std::string(to_string(options.loss)) + (options.length_average ? " averaged" : "") +
           (options.label_smoothing > 0 ? " smoothed" : "") +
           (options.nll_coef > 0 ? " with nll" : "") + " reference " +
           std::to_string(int(reference)) + " mask " + std::to_string(int(mask));
  }
};

inline std::vector<PreferenceOptions> preference_losses() {
  std::vector<PreferenceOptions> all;
  for (int loss = 0; loss <= int(PreferenceLoss::kto); ++loss)
    for (const bool average : {false, true})
      for (const float smoothing : {0.0f, 0.1f}) {
        PreferenceOptions o{.loss = static_cast<PreferenceLoss>(loss), .length_average = average};
        if (smoothing > 0 && o.loss != PreferenceLoss::sigmoid && o.loss != PreferenceLoss::simpo)
          continue;
        o.label_smoothing = smoothing;
        all.push_back(o);
      }
  return all;
}

inline std::vector<PreferenceChoice> preference_choices() {
  std::vector<PreferenceChoice> all;
  for (PreferenceOptions options : preference_losses())
    for (const float nll : {0.0f, 0.4f})
      for (const ReferenceKind reference :
           {ReferenceKind::sums, ReferenceKind::tokens, ReferenceKind::none})
        for (const MaskKind mask :
             {MaskKind::none, MaskKind::some, MaskKind::with_empty_sequence}) {
          const bool takes_none =
              options.loss == PreferenceLoss::simpo || options.loss == PreferenceLoss::orpo;
          if (takes_none && reference != ReferenceKind::none) continue;
          options.nll_coef = nll;
          options.reference_free = !takes_none && reference == ReferenceKind::none;
          all.push_back({options, reference, mask});
        }
  return all;
}

// Sequences of one length, 2P or for kto any number, without masks. The reference is near.
inline Preference preference_batch(const PreferenceOptions& options, std::int64_t sequences,
                                   std::int64_t tokens, std::int64_t columns, std::uint32_t seed,
                                   DType dtype = DType::f32,
                                   ReferenceKind reference = ReferenceKind::sums) {
  Preference p;
  p.options = options;
  std::mt19937 random = fill_rows(p, sequences, tokens, columns, seed, dtype);
  std::vector<double> logps, h;
  text_of_rows(p, logps, h);
  std::normal_distribution<float> normal;
  const bool has_none = options.reference_free || options.loss == PreferenceLoss::simpo ||
                        options.loss == PreferenceLoss::orpo;
  std::vector<float> of_tokens, sums;
  for (const double logp : logps)
    of_tokens.push_back(static_cast<float>(logp) + 0.7f * normal(random));
  for (std::int64_t b = 0; b < sequences; ++b) {
    sums.push_back(0);
    for (std::int64_t t = 0; t < tokens; ++t) sums.back() += of_tokens[std::size_t(b * tokens + t)];
  }
  if (!has_none && reference == ReferenceKind::sums) p.ref_sums = sums;
  if (!has_none && reference == ReferenceKind::tokens) p.ref_tokens = of_tokens;
  if (!p.is_paired())
    for (std::int64_t b = 0; b < sequences; ++b) p.desirable.push_back(b % 3 != 1);
  return p;
}

// One batch of a choice: what else there is to choose is taken by the seed.
inline Preference varied_preference(const PreferenceChoice& choice, std::int64_t columns,
                                    DType dtype, std::uint32_t seed) {
  std::mt19937 random(seed * 7919 + 1);
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  const bool is_kto = choice.options.loss == PreferenceLoss::kto;
  Preference p = preference_batch(choice.options, is_kto && one_in(2) ? 5 : 4, 4, columns, seed,
                                  dtype, choice.reference);
  PreferenceOptions& o = p.options;
  mask_some(p, choice.mask, random);
  if (o.loss == PreferenceLoss::orpo && choice.mask == MaskKind::with_empty_sequence)
    std::swap_ranges(p.mask.begin() + 4, p.mask.begin() + 8, p.mask.begin());  // a chosen one
  if (one_in(4)) p.temperature = 0.7f;
  if (one_in(4))
    for (std::size_t i = 0; i < p.rows(); ++i)
      p.temperatures.push_back(0.7f + float(random() % 256) / 256);
  if (one_in(2)) o.beta = 0.3f;
  if (one_in(3)) o.beta = 1.5f;
  if (one_in(2)) o.gamma = 0.9f;
  if (one_in(2)) o.desirable_weight = 1.33f;
  if (one_in(2)) o.undesirable_weight = 0.75f;
  if (is_kto && one_in(2)) p.kl = 0.8;
  if (is_kto && one_in(4)) p.kl = -0.8;
  if (one_in(3)) p.normalizer = 3.5;
  if (one_in(3)) p.nll_normalizer = 7;
  if (one_in(3)) p.grad_scale = 3;
  if (one_in(3)) {
    const std::int64_t end = std::int64_t(p.rows());
    p.offsets = {0, 3, 8, 10};
    if (p.sequences == 5) p.offsets.push_back(17);
    p.offsets.push_back(end);
  }
  return p;
}

}  // namespace logsum::test
