// SPDX-License-Identifier: Apache-2.0
// What the kernels of sample get.
#pragma once

#include "cuda/device_views.hpp"
#include "ops/sample.hpp"

namespace logsum::cuda {

struct SampleCall {
  // Outputs first: their places are kept for the length of a row.
  enum View { kToken, kLogprob, kRawLogprob, kLse, kEntropy, kRowStatus, kOutputs };
  enum Input { kTemperature = kOutputs, kIndices, kU, kSeed, kOffset, kViews };

  RowsView logits;
  std::int64_t draws;
  std::uint64_t seed, offset;
  float scalar_temperature;
  DeviceViews<kViews> views;

  explicit SampleCall(const SamplePlan& plan)
      : logits(plan.logits),
        draws(plan.draws),
        seed(plan.uniforms.seed.value),
        offset(plan.uniforms.offset.value),
        scalar_temperature(plan.temperature.value) {
    const ElementsView* const all[kViews] = {&plan.token,
                                             &plan.logprob,
                                             &plan.raw_logprob,
                                             &plan.lse,
                                             &plan.entropy,
                                             &plan.row_status,
                                             &plan.temperature.tensor,
                                             &plan.indices,
                                             &plan.uniforms.u,
                                             &plan.uniforms.seed.tensor,
                                             &plan.uniforms.offset.tensor};
    for (int i = 0; i < kViews; ++i) views.set(i, *all[i]);
  }

  LOGSUM_HOST_DEVICE bool has_row_temperatures() const { return views.has(kTemperature); }
  LOGSUM_HOST_DEVICE float temperature(std::int64_t row) const {
    return views.has(kTemperature) ? static_cast<float>(views.place(kTemperature, row).real())
                                   : scalar_temperature;
  }

  LOGSUM_HOST_DEVICE bool looks_up_rows() const { return views.has(kIndices); }
  // −1 where the index is out of bounds: the row is reported, not read.
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const {
    if (!views.has(kIndices)) return row;
    const std::int64_t source = views.place(kIndices, row).integer();
    return source >= 0 && source < logits.rows ? source : -1;
  }

  // The uniform of a draw as 53 bits; false if the caller's u is outside [0, 1).
  LOGSUM_HOST_DEVICE bool uniform(std::int64_t row, std::int64_t draw, std::uint64_t& bits) const {
    if (views.has(kU)) return bits_of_uniform(views.place(kU, row).real(draw), bits);
    const auto parameter = [&](Input view, std::uint64_t value) {
      return views.has(view) ? static_cast<std::uint64_t>(views.place(view, row).integer()) : value;
    };
    bits = uniform_bits(parameter(kSeed, seed), parameter(kOffset, offset),
                        static_cast<std::uint32_t>(draw), RngStream::sample);
    return true;
  }
};

}  // namespace logsum::cuda
