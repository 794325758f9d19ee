// SPDX-License-Identifier: Apache-2.0
// What the kernels of losses get, and the steps that all losses have in common.
#pragma once

#include "cuda/error.hpp"
#include "logsum/context.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cuda {

// Rows that don't count aren't read.
template <class Plan, class Rows>
struct LossCallOf {
  Plan plan;
  Rows rows;
  // As visits ask for them.
  RowsView logits;
  PerRowView<float> temperature;

  LossCallOf(const Plan& plan_, const Rows& rows_)
      : plan(plan_), rows(rows_), logits(plan_.logits), temperature(plan_.temperature) {}

  LOGSUM_HOST_DEVICE static bool looks_up_rows() { return true; }
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const {
    return counts(row) ? row : -1;
  }
  LOGSUM_HOST_DEVICE bool counts(std::int64_t row) const { return rows.counts(row); }
};

// What steps know that don't know the loss.
struct LossCall : LossCallOf<LossPlan, LossRows> {
  const LossTotals* totals;

  template <class Call>
  explicit LossCall(const Call& call)
      : LossCallOf<LossPlan, LossRows>(call.plan, call.rows), totals(call.rows.totals) {}
};

// A visit that keeps of each row what its results, and a visit that writes, ask for.
Status score_rows(const LossCall& call, const Context& context);
// That visit, of rows whose derivatives are known.
Status write_gradients(const LossCall& call, const Context& context);
// Columns beyond vocab_size, where there are any.
Status write_padding(const LossCall& call, const Context& context);

}  // namespace logsum::cuda
