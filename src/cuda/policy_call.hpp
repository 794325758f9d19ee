// SPDX-License-Identifier: Apache-2.0
// What the kernels of policy_loss get, and the steps they are launched in.
//
//   list_rows    one CTA: which rows count, in their order, and what the batch has in common
//   then, where no token's gradient asks for its sequence and rows suit rings,
//     rings      rows are scored and written in one visit
//   or
//     score      a visit that keeps a ScoredRow of each
//   sequences    a CTA per sequence: tokens' results, sums; the derivatives that a second visit
//   asks gradients    that visit, where rings haven't written them padding      columns beyond
//   vocab_size, where there are any
#pragma once

#include "logsum/context.hpp"
#include "ops/policy_loss.hpp"

namespace logsum::cuda {

struct PolicyCall {
  PolicyLossPlan plan;
  PolicyRows rows;
  // As visits ask for them.
  RowsView logits;
  PerRowView<float> temperature;

  PolicyCall(const PolicyLossPlan& plan_, const PolicyRows& rows_)
      : plan(plan_), rows(rows_), logits(plan_.logits), temperature(plan_.temperature) {}

  // Rows that don't count aren't read.
  LOGSUM_HOST_DEVICE static bool looks_up_rows() { return true; }
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const {
    return counts(row) ? row : -1;
  }
  LOGSUM_HOST_DEVICE bool counts(std::int64_t row) const {
    return rows.before[row + 1] > rows.before[row];
  }
};

Status list_rows(const PolicyCall& call, const Context& context);
// Launches if rings suit the call and the context wants them: `launched`.
template <DType kDType>
Status policy_rings_of(const PolicyCall& call, const Context& context, bool& launched);
Status score_rows(const PolicyCall& call, const Context& context);
// `counters`: one that is 0 before and after. `derives`: for a second visit.
Status finish_sequences(const PolicyCall& call, unsigned* counter, bool derives,
                        const Context& context);
Status write_gradients(const PolicyCall& call, const Context& context);
Status write_padding(const PolicyCall& call, const Context& context);

}  // namespace logsum::cuda
