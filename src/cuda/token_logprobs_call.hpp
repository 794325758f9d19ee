// SPDX-License-Identifier: Apache-2.0
// What the kernels of token_logprobs get.
#pragma once

#include "cuda/rows_in_order.hpp"
#include "ops/token_logprobs.hpp"

namespace logsum::cuda {

struct TokenLogprobsCall : RowsInOrder {
  // Those whose places are kept for the length of a row.
  enum Kept { kTargets, kLogprobs, kRank, kLse, kEntropy, kArgmax, kRowStatus, kKept };

  RowsView logits;
  std::int64_t targets_per_row, top_n, ignore_index;
  ElementsView kept[kKept];
  ElementsView top_ids, top_logprobs;
  PerRowView<float> temperature;

  explicit TokenLogprobsCall(const TokenLogprobsPlan& plan)
      : logits(plan.logits),
        targets_per_row(plan.targets_per_row),
        top_n(plan.top_n),
        ignore_index(plan.ignore_index),
        kept{plan.targets, plan.logprobs, plan.rank,      plan.lse,
             plan.entropy, plan.argmax,   plan.row_status},
        top_ids(plan.top_ids),
        top_logprobs(plan.top_logprobs),
        temperature(plan.temperature) {}

  LOGSUM_HOST_DEVICE bool is_scored(std::int64_t target) const {
    return is_scored_target(target, ignore_index, logits.columns);
  }
};

}  // namespace logsum::cuda
