// SPDX-License-Identifier: Apache-2.0
// Whether quick gradients have room in f32 beside their lift.
#pragma once

#include "ops/distill_loss.hpp"

namespace logsum::cuda {

// For what a row's gradients are multiplied by at least, and at most.
LOGSUM_HOST_DEVICE inline bool has_room(bool is_jsd, double factor, double ta, double tb) {
  const double size = std::fabs(factor);
  const double weight = is_jsd ? static_cast<double>(DivergencePair::kUneven) : 1;
  // More than the lift would bring up what it has flushed to 0.
  return size <= 0x1p32 && size / std::fmin(ta, tb) <= 0x1p80 &&
         size * weight / std::fmax(ta, tb) >= 0x1p-80;
}

LOGSUM_HOST_DEVICE inline bool has_room(const DistillLossPlan& plan, const DistillTotals& totals,
                                        std::int64_t row) {
  return has_room(plan.divergence == Divergence::jsd, totals.factor,
                  static_cast<double>(plan.first().temperature(row)),
                  static_cast<double>(plan.second().temperature(row)));
}

}  // namespace logsum::cuda
