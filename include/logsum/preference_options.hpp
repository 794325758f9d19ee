// SPDX-License-Identifier: Apache-2.0
// What a loss of preferences is made of. docs/ops/preference_loss.md has every formula and what
// other libraries call it.
#pragma once

#include <cstdint>

#include "logsum/export.h"
#include "logsum/status.hpp"

namespace logsum {

// Of a sequence: S = Σ logp of its n tokens, s = S − ref, with length_average (S − ref)/n; where
// there is no reference, ref = 0. d = s_chosen − s_rejected of a pair, σ the logistic function.
enum class PreferenceLoss : std::uint8_t {
  sigmoid,  // −(1 − ε)·log σ(beta·d) − ε·log σ(−beta·d), ε label_smoothing: DPO, cDPO
  hinge,  // max(0, 1 − beta·d): SLiC
  ipo,    // (d − 1/(2·beta))²
  simpo,  // as sigmoid, of beta·d − gamma; no reference
  orpo,  // −beta·log σ(log odds(s_chosen) − log odds(s_rejected)), odds p/(1 − p); no reference
  kto,  // not of pairs: w·(1 − σ(±beta·(s − kl))), + and − for desirable and undesirable ones
};

constexpr const char* to_string(PreferenceLoss loss) noexcept {
  switch (loss) {
    case PreferenceLoss::sigmoid: return "sigmoid";
    case PreferenceLoss::hinge: return "hinge";
    case PreferenceLoss::ipo: return "ipo";
    case PreferenceLoss::simpo: return "simpo";
    case PreferenceLoss::orpo: return "orpo";
    case PreferenceLoss::kto: return "kto";
  }
  return "?";
}

struct PreferenceOptions {
  PreferenceLoss loss = PreferenceLoss::sigmoid;
  bool length_average = false;  // scores are means over tokens
  bool reference_free = false;  // sigmoid, hinge, ipo, kto: ref = 0

  float beta = 0.1f;
  float label_smoothing = 0.0f;     // sigmoid, simpo
  float gamma = 0.5f;               // simpo
  float desirable_weight = 1.0f;    // kto
  float undesirable_weight = 1.0f;  // kto
  float nll_coef = 0.0f;  // loss += nll_coef·(−mean of logp over chosen or desirable tokens)
};

// Sets what a loss has in TRL: loss, length_average (ipo, simpo, orpo) and nll_coef (orpo: 1, else
// 0). Names are those of to_string. Another is refused, and nothing set.
LOGSUM_API Status set_preference_loss_type(PreferenceOptions& options,
                                           const char* loss_type) noexcept;

}  // namespace logsum
