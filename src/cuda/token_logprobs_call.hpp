// SPDX-License-Identifier: Apache-2.0
// What the kernels of token_logprobs get.
#pragma once

#include "cuda/device_views.hpp"
#include "ops/token_logprobs.hpp"

namespace logsum::cuda {

struct TokenLogprobsCall {
  enum View {
    kTargets,
    kLogprobs,
    kRank,
    kLse,
    kEntropy,
    kArgmax,
    kRowStatus,
    kKept,  // those whose places are kept for the length of a row
    kTopIds = kKept,
    kTopLogprobs,
    kTemperature,
    kViews
  };

  RowsView logits;
  std::int64_t targets_per_row, top_n, ignore_index;
  float scalar_temperature;
  DeviceViews<kViews> views;

  explicit TokenLogprobsCall(const TokenLogprobsPlan& plan)
      : logits(plan.logits),
        targets_per_row(plan.targets_per_row),
        top_n(plan.top_n),
        ignore_index(plan.ignore_index),
        scalar_temperature(plan.temperature.value) {
    const ElementsView* const all[kViews] = {&plan.targets,      &plan.logprobs,
                                             &plan.rank,         &plan.lse,
                                             &plan.entropy,      &plan.argmax,
                                             &plan.row_status,   &plan.top_ids,
                                             &plan.top_logprobs, &plan.temperature.tensor};
    for (int i = 0; i < kViews; ++i) views.set(i, *all[i]);
  }

  LOGSUM_HOST_DEVICE bool has_row_temperatures() const { return views.has(kTemperature); }
  LOGSUM_HOST_DEVICE float temperature(std::int64_t row) const {
    return views.has(kTemperature) ? static_cast<float>(views.place(kTemperature, row).real())
                                   : scalar_temperature;
  }
  LOGSUM_HOST_DEVICE static bool looks_up_rows() { return false; }
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const { return row; }

  LOGSUM_HOST_DEVICE bool is_scored(std::int64_t target) const {
    return target != ignore_index && target >= 0 && target < logits.columns;
  }
};

}  // namespace logsum::cuda
