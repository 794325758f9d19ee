// SPDX-License-Identifier: Apache-2.0
// approx_kl after validation.
#pragma once

#include "core/rows.hpp"

namespace logsum {

struct ApproxKlPlan {
  std::int64_t tokens = 0;
  ElementsView logps, ref_logps, mask;                            // [tokens]
  ElementsView k1, k2, k3;                                        // [tokens]
  ElementsView mean_k1, mean_k2, mean_k3, count, overflow_count;  // [1]

  bool counts(std::int64_t token) const {
    return !mask || *reinterpret_cast<const std::uint8_t*>(mask.at(token)) != 0;
  }
};

// The sums of a run of tokens.
struct KlSums {
  double k1 = 0, k2 = 0, k3 = 0;
  std::int64_t count = 0, overflow_count = 0;
};

inline constexpr std::int64_t kKlRun = 4096;

constexpr std::int64_t kl_runs(std::int64_t tokens) {
  return tokens / kKlRun + (tokens % kKlRun != 0);
}

}  // namespace logsum
