// SPDX-License-Identifier: Apache-2.0
// sample after validation.
#pragma once

#include "core/results.hpp"

namespace logsum {

// The row of logits that output row `row` reads; −1 where its index is out of bounds: the row is
// reported, not read.
LOGSUM_HOST_DEVICE inline std::int64_t source_row(const ElementsView& indices,
                                                  const RowsView& logits, std::int64_t row) {
  if (!indices) return row;
  const std::int64_t source = indices.integer(row);
  return source >= 0 && source < logits.rows ? source : -1;
}

struct SamplePlan {
  RowsView logits;
  ElementsView indices;  // absent: output row k reads logits row k
  std::int64_t rows = 0;
  std::int64_t draws = 1;
  ElementsView token, logprob, raw_logprob;  // [rows, draws]
  ElementsView lse, entropy, row_status;     // [rows]
  PerRowView<float> temperature;
  Uniforms uniforms;

  std::int64_t logits_row(std::int64_t row) const { return source_row(indices, logits, row); }

  // Whether the raw log-prob needs a measure of its own.
  bool needs_raw(float t) const { return raw_logprob && t != 0.0f && t != 1.0f; }

  bool parameters_hold(std::int64_t row) const {
    const float t = temperature(row);
    if (t != 0.0f && !is_valid_temperature(t)) return false;
    return logits_row(row) >= 0 && uniforms.hold(row, draws);
  }

  void write_draw(std::int64_t row, std::int64_t k, std::int64_t drawn, float log_p,
                  float raw_log_p) const {
    token.set_integer(row, k, drawn);
    logprob.set(row, k, log_p);
    raw_logprob.set(row, k, raw_log_p);
  }

  void write_row(std::int64_t row, RowStatus status, float row_lse, float row_entropy) const {
    lse.set(row, row_lse);
    entropy.set(row, row_entropy);
    row_status.set_integer(row, 0, static_cast<int>(status));
  }

  void write_failed(std::int64_t row, RowStatus status) const {
    for (std::int64_t k = 0; k < draws; ++k) write_draw(row, k, -1, kNan, kNan);
    write_row(row, status, lse_of_failed(status), kNan);
  }
};

}  // namespace logsum
