// SPDX-License-Identifier: Apache-2.0
#include "ops/softmax.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

// A row of a gradient and the output it belongs to. Columns of probability 0 don't count.
struct GradientRow {
  std::vector<double> g, output;
  double dead;  // what output says there

  bool lives(std::size_t i) const { return output[i] != dead; }

  template <class Term>
  double sum(const Term& term) const {
    double total = 0;
    for (std::size_t i = 0; i < g.size(); ++i)
      if (lives(i)) total += term(i);
    return total;
  }
};

// sum(row), then gradient(row, i, sum), before it is divided by T.
template <class Sum, class Gradient>
Status write_rows(const SoftmaxBackwardPlan& plan, double dead, const Sum& sum_of,
                  const Gradient& gradient) {
  using Fate = SoftmaxBackwardPlan::Row;
  for (std::int64_t row = 0; row < plan.output.rows; ++row) {
    const GradientRow values{read_row(plan.grad_output, row), read_row(plan.output, row), dead};
    const double sum = sum_of(values);
    const Fate fate = plan.row(row, sum);
    write_row(plan.grad_logits, row, [&](std::size_t i) {
      if (fate != Fate::computed) return fate == Fate::zero ? 0.0 : kNan;
      return values.lives(i) ? gradient(values, i, sum) / plan.temperature(row) : 0.0;
    });
  }
  return {};
}

}  // namespace

Status softmax_backward(const SoftmaxBackwardPlan& plan, const Context&) {
  return write_rows(
      plan, 0.0,
      [](const GradientRow& r) {
        return r.sum([&](std::size_t i) { return r.g[i] * r.output[i]; });
      },
      [](const GradientRow& r, std::size_t i, double sum) { return r.output[i] * (r.g[i] - sum); });
}

Status log_softmax_backward(const SoftmaxBackwardPlan& plan, const Context&) {
  return write_rows(
      plan, -kInf,
      [](const GradientRow& r) {
        // A NaN in the output is in no g.
        return r.sum([&](std::size_t i) { return r.g[i] + 0.0 * r.output[i]; });
      },
      [](const GradientRow& r, std::size_t i, double sum) {
        // The second form where p is near 1, and g − p·sum would cancel.
        return r.output[i] < -0.5 ? r.g[i] - std::exp(r.output[i]) * sum
                                  : (r.g[i] - sum) - std::expm1(r.output[i]) * sum;
      });
}

}  // namespace logsum::reference
