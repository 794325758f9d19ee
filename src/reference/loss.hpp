// SPDX-License-Identifier: Apache-2.0
// What losses of tokens look at in a row, and the gradient they make of it, by the textbook.
#pragma once

#include "ops/loss_plan.hpp"
#include "reference/dual.hpp"
#include "reference/row.hpp"

namespace logsum::reference {

struct LossRow {
  RowStatus status = RowStatus::ok;
  double logp = kNan;  // of the target
  double entropy = kNan;
};

inline LossRow loss_row(const LossPlan& plan, const LossTotals& totals, std::int64_t row) {
  LossRow scored;
  const Distribution p = distribution_of(read_row(plan.logits, row), plan.temperature(row));
  const std::int64_t target = plan.targets.integer(row);
  scored.status = totals.is_valid ? p.status : RowStatus::bad_parameter;
  scored.entropy = p.entropy;
  if (scored.status == RowStatus::ok && !plan.has_target(target))
    scored.status = RowStatus::bad_target;
  if (scored.status == RowStatus::ok)
    scored.logp = p.logprob(load(plan.logits.column(row, target), plan.logits.dtype));
  return scored;
}

// Of a row that counts.
inline void write_gradient(const LossPlan& plan, const LossTotals& totals, std::int64_t row,
                           RowStatus status, const RowDerivatives& d) {
  const RowGradient::Fate fate = fate_of_failed(status);
  if (!is_scored(status) || !std::isfinite(d.g)) {
    const bool is_nan = is_scored(status) || fate == RowGradient::Fate::nan;
    write_row(plan.grad_logits, row, [&](std::size_t) { return is_nan ? kNan : 0.0; });
    return;
  }
  const std::vector<double> z = read_row(plan.logits, row);
  const Distribution p = distribution_of(z, plan.temperature(row));
  const auto target = static_cast<std::size_t>(plan.targets.integer(row));
  double others = 0;
  for (std::size_t j = 0; j < z.size(); ++j)
    if (j != target) others += std::exp(p.logprob(z[j]));
  write_row(plan.grad_logits, row, [&](std::size_t j) {
    const double logp = p.logprob(z[j]), pj = std::exp(logp);
    const double of_entropy = pj > 0 ? d.c * pj * (logp + p.entropy) : 0;
    const double of_loss = j == target ? times(d.g, others) : times(-d.g, pj);
    return (of_loss + of_entropy) * totals.grad_scale / p.temperature;
  });
}

// Zeros: all of a row that doesn't count, columns beyond vocab_size of one that does.
inline void write_rest(const LossPlan& plan, std::int64_t row) {
  RowsView padding = plan.grad_logits;
  padding.columns = plan.logits.columns + plan.padded_columns;
  for (std::int64_t j = plan.counts(row) ? plan.logits.columns : 0; j < padding.columns; ++j)
    store(padding.column(row, j), padding.dtype, 0);
}

}  // namespace logsum::reference
