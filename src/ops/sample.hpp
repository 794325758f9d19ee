// SPDX-License-Identifier: Apache-2.0
// sample after validation.
#pragma once

#include "core/results.hpp"

namespace logsum {

struct SamplePlan {
  RowsView logits;
  ElementsView indices;  // absent: output row k reads logits row k
  std::int64_t rows = 0;
  std::int64_t draws = 1;
  ElementsView token, logprob, raw_logprob;  // [rows, draws]
  ElementsView lse, entropy, row_status;     // [rows]
  PerRowView<float> temperature;
  Uniforms uniforms;

  std::int64_t logits_row(std::int64_t row) const { return indices ? indices.integer(row) : row; }
};

}  // namespace logsum
