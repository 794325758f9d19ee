// SPDX-License-Identifier: Apache-2.0
// sample after validation.
#pragma once

#include "core/rows.hpp"
#include "logsum/rng.hpp"

namespace logsum {

struct SamplePlan {
  RowsView logits;
  ElementsView indices;  // absent: output row k reads logits row k
  std::int64_t rows = 0;
  std::int64_t draws = 1;
  ElementsView token, logprob, raw_logprob;  // [rows, draws]
  ElementsView lse, entropy, row_status;     // [rows]
  PerRowView<float> temperature;
  ElementsView u;  // [rows, draws]
  PerRowView<std::uint64_t> seed, offset;

  std::int64_t logits_row(std::int64_t row) const { return indices ? indices.integer(row) : row; }

  // The draw's uniform as 53 bits; false if the caller's u is outside [0, 1).
  bool uniform(std::int64_t row, std::int64_t draw, std::uint64_t& bits) const {
    if (!u) {
      bits =
          uniform_bits(seed(row), offset(row), static_cast<std::uint32_t>(draw), RngStream::sample);
      return true;
    }
    const double value = u.real(row, draw);
    if (!(value >= 0.0 && value < 1.0)) return false;
    bits = static_cast<std::uint64_t>(value * 0x1p53);
    return true;
  }
};

}  // namespace logsum
