// SPDX-License-Identifier: Apache-2.0
// token_logprobs after validation, and what doesn't depend on how a row was measured.
#pragma once

#include "core/results.hpp"

namespace logsum {

// Whether a target has a log-prob, in a row of so many columns.
LOGSUM_HOST_DEVICE inline bool is_scored_target(std::int64_t target, std::int64_t ignore_index,
                                                std::int64_t columns) {
  return target != ignore_index && target >= 0 && target < columns;
}

// What is known of a row's targets, and what that makes of the row's status.
struct TargetsSeen {
  bool all_ignored = true, any_bad = false;

  LOGSUM_HOST_DEVICE void add(bool is_ignored, bool is_scored) {
    all_ignored &= is_ignored;
    any_bad |= !is_ignored && !is_scored;
  }
  // Of a row that has targets.
  LOGSUM_HOST_DEVICE RowStatus status(RowStatus row) const {
    if (all_ignored) return RowStatus::ignored;
    return row == RowStatus::ok && any_bad ? RowStatus::bad_target : row;
  }
};

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
    return is_scored_target(target, ignore_index, logits.columns);
  }

  // The row's status from the row's own trouble and its targets'.
  RowStatus status_with_targets(std::int64_t row, RowStatus status) const {
    if (targets_per_row == 0) return status;
    TargetsSeen seen;
    for (std::int64_t k = 0; k < targets_per_row; ++k) {
      const std::int64_t target = targets.integer(row, k);
      seen.add(target == ignore_index, is_scored(target));
    }
    return seen.status(status);
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
