// SPDX-License-Identifier: Apache-2.0
// What the kernels of sample get.
#pragma once

#include "ops/sample.hpp"

namespace logsum::cuda {

struct SampleCall {
  enum Output { kToken, kLogprob, kRawLogprob, kLse, kEntropy, kRowStatus, kOutputs };

  RowsView logits;
  std::int64_t draws;
  ElementsView outputs[kOutputs];
  ElementsView indices;
  PerRowView<float> temperature;
  Uniforms uniforms;

  explicit SampleCall(const SamplePlan& plan)
      : logits(plan.logits),
        draws(plan.draws),
        outputs{plan.token, plan.logprob, plan.raw_logprob,
                plan.lse,   plan.entropy, plan.row_status},
        indices(plan.indices),
        temperature(plan.temperature),
        uniforms(plan.uniforms) {}

  LOGSUM_HOST_DEVICE bool looks_up_rows() const { return static_cast<bool>(indices); }
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const {
    return source_row(indices, logits, row);
  }
};

}  // namespace logsum::cuda
