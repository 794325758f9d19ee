// SPDX-License-Identifier: Apache-2.0
// What a policy loss is made of: objective, level of the ratio, KL term, aggregation, and their
// constants. Defaults are TRL's GRPOConfig. docs/ops/policy_loss.md has every formula and what
// other libraries call it.
#pragma once

#include <cstdint>
#include <limits>

#include "logsum/export.h"
#include "logsum/status.hpp"

namespace logsum {

// r = exp(logp − old), A the advantage, l a token's loss, sg: no gradient through it.
enum class Objective : std::uint8_t {
  clip,  // −min(min(r, delta)·A, clamp(r, 1 − epsilon_low, 1 + epsilon_high)·A); GRPO, DAPO …
  cispo,      // −sg[min(r, epsilon_high)]·A·logp, or clamped on both sides (CispoBounds)
  sapo,       // −A·sigmoid(tau·(r − 1))·4/tau
  gmpo,       // −A·(geometric mean of the sequence's clipped ratios)
  vespo,      // −sg[phi]·A·logp, phi from the sequence's ratio
  reinforce,  // −A·logp
};

// Whether r is a token's own or exp(mean of its sequence's log-ratios) (GSPO).
enum class RatioLevel : std::uint8_t { token, sequence };

// d = ref − logp: k1 = −d, k2 = d²/2, k3 = e^d − d − 1; k3_plus has k3's value and k2's gradient.
enum class KlEstimator : std::uint8_t { k1, k2, k3, k3_plus };

// How tokens' losses become one. N: the normalizer that was given, or else
enum class Aggregation : std::uint8_t {
  token_mean,         // Σ l / N                           N: tokens that count
  sequence_mean,      // Σ_b mean_t(l) / N                 N: sequences
  sequence_sum_mean,  // Σ_b Σ_t l / N                     N: sequences (LUSPO)
  constant,           // Σ l / N                           N: rows of the batch, padding too
};

// CISPO's weight: min(r, epsilon_high), or clamp(r, 1 − epsilon_low, 1 + epsilon_high).
enum class CispoBounds : std::uint8_t { upper, both };

enum class Compat : std::uint8_t { trl, liger, verl };

struct PolicyOptions {
  static constexpr float kNone = std::numeric_limits<float>::infinity();

  Objective objective = Objective::clip;
  RatioLevel ratio_level = RatioLevel::token;
  Aggregation aggregation = Aggregation::token_mean;

  float epsilon_low = 0.2f;
  float epsilon_high = 0.2f;  // clip: 1 + this; cispo (upper): this itself, and 5 is recommended
  float delta = kNone;        // clip: r is at most this (INTELLECT-2); kNone: no bound
  float dual_clip = kNone;    // clip: where A < 0, l is at most −dual_clip·A
  CispoBounds cispo_bounds = CispoBounds::upper;
  float sapo_tau_pos = 1.0f, sapo_tau_neg = 1.05f;  // where A > 0, elsewhere
  float vespo_k_pos = 2.0f, vespo_lambda_pos = 3.0f;
  float vespo_k_neg = 3.0f, vespo_lambda_neg = 2.0f;
  float log_ratio_clamp = kNone;  // logp − old within ± this; no gradient beyond

  float beta = 0.0f;  // of the KL term; 0: there is none
  KlEstimator kl_estimator = KlEstimator::k3;
  bool use_bias_correction_kl = false;  // the term times r, whose gradient counts
  float kl_input_clamp = kNone;         // k3, k3_plus: d within ± this
  float kl_output_clamp = kNone;        // k3, k3_plus: the estimate within ± this

  float entropy_coef = 0.0f;  // loss −= entropy_coef·(mean entropy)

  // Sequences with A < 0 whose mean of sampling − logp is above it don't count but for KL and
  // entropy (DeepSeek-V3.2); kNone: all count.
  float off_policy_threshold = kNone;

  // sequence_mean, sequence_sum_mean: sequences without a token that counts are in N.
  bool count_empty_sequences = true;
};

// Sets what TRL's GRPOConfig.loss_type selects: objective, aggregation and what goes with them.
// "grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"; also "gspo", "gmpo",
// "reinforce". Another name is refused, and nothing set.
LOGSUM_API Status set_loss_type(PolicyOptions& options, const char* loss_type) noexcept;

// Sets what differs between libraries: CISPO's bounds, dual clip (verl: 3), clamps of ratio (20)
// and k3 (20, 10), sequences without tokens. trl and liger: the defaults of those.
LOGSUM_API Status set_compat(PolicyOptions& options, Compat compat) noexcept;

}  // namespace logsum
