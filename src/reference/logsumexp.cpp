// SPDX-License-Identifier: Apache-2.0
#include "ops/logsumexp.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {

Status logsumexp(const LogsumexpPlan& plan, const Context&) {
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    const Distribution p = distribution_of(read_row(plan.logits, row), plan.temperature(row));
    plan.lse.set(row, static_cast<float>(p.lse));
    plan.row_status.set_integer(row, 0, static_cast<int>(p.status));
  }
  return {};
}

Status logsumexp_backward(const LogsumexpBackwardPlan& plan, const Context&) {
  using Row = LogsumexpBackwardPlan::Row;
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    const Row fate = plan.row(row);
    const double t = plan.temperature(row);
    const double g = plan.grad_output.real(row);
    const double lse = plan.lse.real(row);
    write_row(plan.grad_logits, row, [&](std::size_t i) {
      if (fate != Row::computed) return fate == Row::zero ? 0.0 : kNan;
      const double z =
          load(plan.logits.column(row, static_cast<std::int64_t>(i)), plan.logits.dtype);
      const double e = std::exp(z / t - lse);
      return g == 0 && e == kInf ? 0.0 : g * e / t;
    });
  }
  return {};
}

}  // namespace logsum::reference
