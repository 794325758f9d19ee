// SPDX-License-Identifier: Apache-2.0
#include "ops/group_advantages.hpp"

#include <algorithm>

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

// Some rewards about the first of them.
struct Spread {
  double n = 0, first = 0, sum = 0, squares = 0;  // Σ (r − first), Σ (r − mean)²

  explicit Spread(const std::vector<double>& rewards) {
    if (rewards.empty()) return;
    n = static_cast<double>(rewards.size());
    first = rewards[0];
    for (const double r : rewards) sum += r - first;
    for (const double r : rewards) squares += std::pow(r - first - sum / n, 2);
  }
  double mean() const { return n > 0 ? first + sum / n : 0; }
  double deviation() const { return n > 1 ? std::sqrt(squares / (n - 1)) : 0; }

  // Of a reward from the mean, or from the mean of the others.
  double difference(double reward, AdvantageBaseline baseline) const {
    const double own = reward - first;
    if (n == 1) return 0;
    return baseline == AdvantageBaseline::mean ? own - sum / n : own - (sum - own) / (n - 1);
  }
};

RowStatus status_of(const std::vector<double>& rewards) {
  if (rewards.empty()) return RowStatus::ignored;
  const auto any = [&](const auto& is) { return std::any_of(rewards.begin(), rewards.end(), is); };
  if (any([](double r) { return std::isnan(r); })) return RowStatus::nan;
  return any([](double r) { return std::fabs(r) >= 0x1p400; }) ? RowStatus::pos_inf : RowStatus::ok;
}

}  // namespace

Status group_advantages(const GroupAdvantagesPlan& plan, const Context&) {
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(plan.groups));
  std::vector<double> batch;
  for (std::int64_t g = 0; g < plan.groups; ++g) {
    std::vector<double>& rewards = groups[static_cast<std::size_t>(g)];
    for (std::int64_t at = g * plan.size; at < (g + 1) * plan.size; ++at)
      if (plan.mask.counts(at)) rewards.push_back(plan.rewards.real(at));
    if (status_of(rewards) == RowStatus::ok)
      batch.insert(batch.end(), rewards.begin(), rewards.end());
  }
  const Spread of_batch(batch);
  for (std::int64_t g = 0; g < plan.groups; ++g) {
    const std::vector<double>& rewards = groups[static_cast<std::size_t>(g)];
    const RowStatus status = status_of(rewards);
    const bool is_sick = status == RowStatus::nan || status == RowStatus::pos_inf;
    const Spread spread(rewards);
    const double deviation =
        plan.scale == AdvantageScale::batch ? of_batch.deviation() : spread.deviation();
    const double divisor = plan.scale == AdvantageScale::none ? 1 : deviation + plan.epsilon;
    for (std::int64_t at = g * plan.size; at < (g + 1) * plan.size; ++at) {
      double advantage = 0;
      if (plan.mask.counts(at) && is_sick)
        advantage = kNan;
      else if (plan.mask.counts(at) && divisor > 0)
        advantage = spread.difference(plan.rewards.real(at), plan.baseline) / divisor;
      plan.advantages.set(at, static_cast<float>(advantage));
    }
    plan.mean.set(g, static_cast<float>(is_sick ? kNan : spread.mean()));
    plan.std.set(g, static_cast<float>(is_sick ? kNan : spread.deviation()));
    plan.group_status.set_integer(g, 0, static_cast<std::int64_t>(status));
  }
  return {};
}

}  // namespace logsum::reference
