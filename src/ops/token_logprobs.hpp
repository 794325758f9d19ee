// SPDX-License-Identifier: Apache-2.0
// token_logprobs after validation, and what doesn't depend on how a row was measured.
#pragma once

#include "core/results.hpp"

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

  bool is_scored(std::int64_t target) const {
    return target != ignore_index && target >= 0 && target < logits.columns;
  }

  // The row's status from the row's own trouble and its targets'.
  RowStatus status_with_targets(std::int64_t row, RowStatus status) const {
    bool all_ignored = targets_per_row > 0;
    bool any_bad = false;
    for (std::int64_t k = 0; k < targets_per_row; ++k) {
      const std::int64_t target = targets.integer(row, k);
      if (target == ignore_index) continue;
      all_ignored = false;
      any_bad |= !is_scored(target);
    }
    if (all_ignored) return RowStatus::ignored;
    return status == RowStatus::ok && any_bad ? RowStatus::bad_target : status;
  }

  void write_status(std::int64_t row, RowStatus status) const {
    if (row_status)
      row_status.set_integer(row, 0, static_cast<int>(status_with_targets(row, status)));
  }

  // An ignored target is 0 whatever the row holds; any other that can't be scored is NaN.
  void write_unscored(std::int64_t row, std::int64_t k, std::int64_t target) const {
    logprobs.set(row, k, target == ignore_index ? 0.0f : kNan);
    rank.set_integer(row, k, 0);
  }

  void write_failed(std::int64_t row, RowStatus status) const {
    for (std::int64_t k = 0; k < targets_per_row; ++k)
      write_unscored(row, k, targets.integer(row, k));
    lse.set(row, lse_of_failed(status));
    entropy.set(row, kNan);
    argmax.set_integer(row, 0, -1);
    for (std::int64_t k = 0; k < top_n; ++k) {
      top_ids.set_integer(row, k, -1);
      top_logprobs.set(row, k, kNan);
    }
    write_status(row, status);
  }
};

}  // namespace logsum
