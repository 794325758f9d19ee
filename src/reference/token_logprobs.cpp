// SPDX-License-Identifier: Apache-2.0
#include "ops/token_logprobs.hpp"

#include <algorithm>
#include <numeric>

#include "core/backend.hpp"
#include "core/measure.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

void write_top(const TokenLogprobsPlan& plan, std::int64_t row, const std::vector<double>& z,
               const Distribution& p) {
  std::vector<std::int64_t> order(z.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return z[static_cast<std::size_t>(a)] > z[static_cast<std::size_t>(b)];
  });
  for (std::int64_t k = 0; k < plan.top_n; ++k) {
    const bool ok = p.status == RowStatus::ok;
    const std::int64_t column = order[static_cast<std::size_t>(k)];
    plan.top_ids.set_integer(row, k, ok ? column : -1);
    plan.top_logprobs.set(row, k,
                          static_cast<float>(p.logprob(z[static_cast<std::size_t>(column)])));
  }
}

void score_row(const TokenLogprobsPlan& plan, std::int64_t row) {
  const std::vector<double> z = read_row(plan.logits, row);
  const Distribution p = distribution_of(z, plan.temperature(row));
  RowStatus status = p.status;
  std::int64_t ignored = 0;
  for (std::int64_t k = 0; k < plan.targets_per_row; ++k) {
    const std::int64_t y = plan.targets.integer(row, k);
    double logprob = kNan;
    std::int64_t rank = 0;
    if (y == plan.ignore_index) {
      ++ignored;
      logprob = 0;
    } else if (y < 0 || y >= plan.logits.columns) {
      if (status == RowStatus::ok) status = RowStatus::bad_target;
    } else if (p.status == RowStatus::ok) {
      const double zy = z[static_cast<std::size_t>(y)];
      logprob = p.logprob(zy);
      rank = 1 + std::count_if(z.begin(), z.end(), [&](double x) { return x > zy; });
    }
    plan.logprobs.set(row, k, static_cast<float>(logprob));
    plan.rank.set_integer(row, k, rank);
  }
  if (plan.targets_per_row > 0 && ignored == plan.targets_per_row) status = RowStatus::ignored;
  plan.lse.set(row, static_cast<float>(p.lse));
  plan.entropy.set(row, static_cast<float>(p.entropy));
  plan.argmax.set_integer(row, 0, p.argmax);
  if (plan.top_n > 0) write_top(plan, row, z, p);
  plan.row_status.set_integer(row, 0, static_cast<int>(status));
}

}  // namespace

Status token_logprobs(const TokenLogprobsPlan& plan, const Context&) {
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) score_row(plan, row);
  return {};
}

}  // namespace logsum::reference
