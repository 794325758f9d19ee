// SPDX-License-Identifier: Apache-2.0
// token_logprobs after validation.
#pragma once

#include "core/rows.hpp"

namespace logsum {

struct TokenLogprobsPlan {
  RowsView logits;
  ElementsView targets, logprobs, rank;  // [rows, targets_per_row]
  std::int64_t targets_per_row = 0;
  ElementsView lse, entropy, argmax, row_status;  // [rows]
  ElementsView top_ids, top_logprobs;             // [rows, top_n]
  std::int64_t top_n = 0;
  PerRowView<float> temperature;
  std::int64_t ignore_index = 0;
};

}  // namespace logsum
