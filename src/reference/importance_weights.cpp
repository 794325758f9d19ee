// SPDX-License-Identifier: Apache-2.0
#include "ops/importance_weights.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

bool is_clipped(const ImportanceWeightsPlan& plan, double w) {
  if (plan.mode == ImportanceMode::none) return false;
  return w < static_cast<double>(plan.clip_min) || w > static_cast<double>(plan.clip_max);
}

float clipped(const ImportanceWeightsPlan& plan, double w) {
  if (!is_clipped(plan, w)) return static_cast<float>(w);
  if (plan.mode == ImportanceMode::mask) return 0;
  return w < static_cast<double>(plan.clip_min) ? plan.clip_min : plan.clip_max;
}

}  // namespace

Status importance_weights(const ImportanceWeightsPlan& plan, const Context&) {
  WeightSums sums;
  for (std::int64_t i = 0; i < plan.sequences.ranges(); ++i) {
    const TokenRange range = plan.sequences.range(i);
    std::vector<double> log_ratios;
    double sum = 0;
    for (std::int64_t token = range.begin; token < range.end; ++token) {
      const bool counts = plan.sequences.is_sequence(i) && plan.mask.counts(token);
      const double old = counts ? plan.old_logps.real(token) : 0;
      const double sampling = counts ? plan.sampling_logps.real(token) : 0;
      log_ratios.push_back(!counts ? kNan : old == sampling ? 0 : old - sampling);
      if (counts) sum += log_ratios.back();
    }
    for (std::int64_t token = range.begin; token < range.end; ++token) {
      if (!plan.sequences.is_sequence(i) || !plan.mask.counts(token)) {
        plan.weights.set(token, 1);
        continue;
      }
      const double own = log_ratios[static_cast<std::size_t>(token - range.begin)];
      const double w = std::exp(plan.level == ImportanceLevel::sequence ? sum : own);
      const float written = clipped(plan, w);
      plan.weights.set(token, written);
      const auto value = static_cast<double>(written);
      sums.add({1, is_clipped(plan, w), value, value * value});
    }
  }
  plan.write_statistics(sums);
  return {};
}

}  // namespace logsum::reference
