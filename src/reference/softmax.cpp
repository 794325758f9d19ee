// SPDX-License-Identifier: Apache-2.0
#include "ops/softmax.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

template <class Value>
Status write_rows(const SoftmaxPlan& plan, const Value& value) {
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    const std::vector<double> z = read_row(plan.logits, row);
    const Distribution p = distribution_of(z, plan.temperature(row));
    write_row(plan.output, row, [&](std::size_t i) { return value(p.logprob(z[i])); });
    plan.row_status.set_integer(row, 0, static_cast<int>(p.status));
  }
  return {};
}

}  // namespace

Status softmax(const SoftmaxPlan& plan, const Context&) {
  return write_rows(plan, [](double logprob) { return std::exp(logprob); });
}

Status log_softmax(const SoftmaxPlan& plan, const Context&) {
  return write_rows(plan, [](double logprob) { return logprob; });
}

}  // namespace logsum::reference
