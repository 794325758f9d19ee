// SPDX-License-Identifier: Apache-2.0
// Every legal choice of a policy loss, and batches for it: log-probs of other policies near the
// logits' own, options and optional tensors taken or left by a seed.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "support/policy.hpp"
#include "support/policy_text.hpp"

namespace logsum::test {

struct PolicyChoice {
  PolicyOptions options;
  bool has_ref = false;
  MaskKind mask = MaskKind::none;

  std::string name() const {
    return "objective " + std::to_string(int(options.objective)) + " level " +
           std::to_string(int(options.ratio_level)) + " aggregation " +
           std::to_string(int(options.aggregation)) + " kl " +
           (has_ref ? std::to_string(int(options.kl_estimator)) : "none") +
           (options.use_bias_correction_kl ? " corrected" : "") + " mask " +
           std::to_string(int(mask));
  }
};

// Objectives and the levels that they have.
inline std::vector<PolicyOptions> policy_objectives() {
  std::vector<PolicyOptions> all;
  for (const Objective objective : {Objective::clip, Objective::cispo, Objective::sapo,
                                    Objective::gmpo, Objective::vespo, Objective::reinforce})
    for (const RatioLevel level : {RatioLevel::token, RatioLevel::sequence}) {
      if (level == RatioLevel::sequence && objective > Objective::sapo) continue;
      PolicyOptions o{.objective = objective, .ratio_level = level};
      if (objective == Objective::gmpo) o.epsilon_low = o.epsilon_high = 0.4f;
      if (objective == Objective::cispo) o.epsilon_high = 1.1f;
      all.push_back(o);
    }
  return all;
}

inline std::vector<PolicyChoice> policy_choices() {
  std::vector<PolicyChoice> all;
  for (const PolicyOptions& objective : policy_objectives())
    for (int kl = -1; kl < 8; ++kl)
      for (int aggregation = 0; aggregation < 4; ++aggregation)
        for (const MaskKind mask :
             {MaskKind::none, MaskKind::some, MaskKind::with_empty_sequence}) {
          PolicyChoice c{objective, kl >= 0, mask};
          c.options.aggregation = static_cast<Aggregation>(aggregation);
          if (kl >= 0) {
            c.options.beta = 0.3f;
            c.options.kl_estimator = static_cast<KlEstimator>(kl / 2);
            c.options.use_bias_correction_kl = kl % 2 == 1;
          }
          all.push_back(c);
        }
  return all;
}

// Sequences of one length with all tensors that a loss may have but masks, weights, sampling.
inline Policy policy_batch(const PolicyOptions& options, std::int64_t sequences,
                           std::int64_t tokens, std::int64_t columns, std::uint32_t seed,
                           DType dtype = DType::f32) {
  Policy p;
  p.options = options;
  std::mt19937 random = fill_rows(p, sequences, tokens, columns, seed, dtype);
  for (std::int64_t b = 0; b < sequences; ++b)
    p.advantages.push_back((b % 2 ? -1.0f : 1.0f) * (0.3f + float(random() % 64) / 32));
  std::vector<double> logps, h;
  text_of_rows(p, logps, h);
  std::normal_distribution<float> normal;
  for (const double logp : logps) {
    p.old.push_back(static_cast<float>(logp) + 0.3f * normal(random));
    p.ref.push_back(static_cast<float>(logp) + 0.5f * normal(random));
  }
  return p;
}

// One batch of a choice: what else there is to choose is taken by the seed.
inline Policy varied_policy(const PolicyChoice& choice, std::int64_t columns, DType dtype,
                            std::uint32_t seed) {
  std::mt19937 random(seed * 7919 + 1);
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  Policy p = policy_batch(choice.options, 3, 4, columns, seed, dtype);
  PolicyOptions& o = p.options;
  mask_some(p, choice.mask, random);
  std::normal_distribution<float> normal;
  const auto per_token = [&](std::vector<float>& values, float least, float spread) {
    values.assign(p.rows(), 0);
    for (float& x : values) x = least + spread * float(random() % 256) / 256;
  };
  if (one_in(4)) per_token(p.temperatures, 0.7f, 1);
  if (one_in(4)) p.temperature = 0.7f;
  if (one_in(3)) per_token(p.advantages, -1.5f, 3);
  if (one_in(3)) {
    per_token(p.weights, 0.3f, 2);
    if (one_in(2)) p.weights.resize(static_cast<std::size_t>(p.sequences));
  }
  if (one_in(3)) o.entropy_coef = one_in(2) ? 0.05f : -0.3f;
  if (one_in(4)) {
    p.entropy_mask.assign(p.rows(), 1);
    for (auto& m : p.entropy_mask) m = !one_in(3);
  }
  if (one_in(3)) p.normalizer = 11.5;
  if (one_in(4)) p.entropy_normalizer = 7;
  if (one_in(3)) p.grad_scale = 3;
  if (o.objective == Objective::clip && one_in(2)) o.delta = 1.3f;
  if (o.objective == Objective::clip && one_in(2)) o.dual_clip = 1.25f;
  if (o.objective == Objective::clip && one_in(3)) o.epsilon_high = 0.1f;
  if (o.objective == Objective::cispo && one_in(2)) {
    o.cispo_bounds = CispoBounds::both;
    o.epsilon_high = 0.3f;
  }
  if (one_in(4)) o.log_ratio_clamp = 0.4f;
  if (one_in(4)) o.kl_input_clamp = 0.5f;
  if (one_in(4)) o.kl_output_clamp = 0.1f;
  if (one_in(3)) o.count_empty_sequences = false;
  std::vector<double> logps, h;
  text_of_rows(p, logps, h);
  for (std::size_t i = 0; i < p.rows(); ++i)
    p.old[i] = static_cast<float>(logps[i]) + 0.3f * normal(random);
  if (one_in(3)) {
    for (const float x : p.old) p.sampling.push_back(x + 0.2f * normal(random));
    o.off_policy_threshold = 0.02f;
  }
  if (one_in(5)) p.old.clear();
  if (!choice.has_ref) p.ref.clear();
  return p;
}

}  // namespace logsum::test
