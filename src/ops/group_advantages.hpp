// SPDX-License-Identifier: Apache-2.0
// group_advantages after validation, and what CPU and GPU kernels share: a group's measure, the
// batch's, and the advantages that follow. `in_lanes` adds in the order of core/lane_sums.hpp.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/lane_sums.hpp"
#include "core/measure.hpp"
#include "core/rows.hpp"
#include "logsum/group_advantages.hpp"

namespace logsum {

// The moments of a group's rewards about its first sample: equal rewards are exactly 0 from it,
// however their sum would round.
struct GroupMeasure {
  std::int64_t count = 0;
  double base = 0;     // the first reward that counts
  double mean = 0;     // of reward − base
  double squares = 0;  // Σ (reward − base − mean)²
  RowStatus status = RowStatus::ignored;

  LOGSUM_HOST_DEVICE bool is_ok() const { return status == RowStatus::ok; }
  LOGSUM_HOST_DEVICE double deviation() const {
    return count > 1 ? std::sqrt(squares / static_cast<double>(count - 1)) : 0.0;
  }
};

// What counts and what is first among some.
struct Members {
  std::int64_t count = 0, first = INT64_MAX, nans = 0, infinities = 0;

  LOGSUM_HOST_DEVICE void add(const Members& other) {
    count += other.count;
    first = std::min(first, other.first);
    nans += other.nans;
    infinities += other.infinities;
  }
  LOGSUM_HOST_DEVICE RowStatus status() const {
    if (nans > 0) return RowStatus::nan;
    if (infinities > 0) return RowStatus::pos_inf;
    return count > 0 ? RowStatus::ok : RowStatus::ignored;
  }
};

struct GroupAdvantagesPlan {
  std::int64_t groups = 0, size = 0;
  ElementsView rewards;                  // [groups · size]
  MaskView mask;                         // [groups · size]
  ElementsView advantages;               // [groups · size]
  ElementsView mean, std, group_status;  // [groups]
  AdvantageScale scale = AdvantageScale::group;
  AdvantageBaseline baseline = AdvantageBaseline::mean;
  double epsilon = 0;

  template <class InLanes>
  LOGSUM_HOST_DEVICE GroupMeasure measure(std::int64_t group, const InLanes& in_lanes) const {
    const std::int64_t begin = group * size;
    const Members members = in_lanes(size, [&](std::int64_t i) { return member(begin + i, i); });
    if (members.status() != RowStatus::ok) return {.status = members.status()};
    const double base = rewards.real(begin + members.first);
    const auto count = static_cast<double>(members.count);
    const auto sum_of = [&](const auto& term) {
      return in_lanes(size,
                      [&](std::int64_t i) {
                        return mask.counts(begin + i) ? Sum{term(rewards.real(begin + i) - base)}
                                                      : Sum();
                      })
          .value;
    };
    const double mean_above = sum_of([](double above) { return above; }) / count;
    const double squares =
        sum_of([mean_above](double above) { return (above - mean_above) * (above - mean_above); });
    return {members.count, base, mean_above, squares, RowStatus::ok};
  }

  // All samples of the groups that are ok, as one group. Others have a count of 0 and add nothing.
  template <class InLanes>
  LOGSUM_HOST_DEVICE GroupMeasure measure_batch(const GroupMeasure* measures,
                                                const InLanes& in_lanes) const {
    const Members members = in_lanes(groups, [&](std::int64_t group) {
      return measures[group].is_ok() ? Members{measures[group].count, group} : Members();
    });
    if (members.count == 0) return {};
    const double base = measures[members.first].base;
    // term(n, the group's mean above the base, its squares)
    const auto sum_of = [&](const auto& term) {
      return in_lanes(groups,
                      [&](std::int64_t group) {
                        const GroupMeasure& m = measures[group];
                        return Sum{
                            term(static_cast<double>(m.count), m.base - base + m.mean, m.squares)};
                      })
          .value;
    };
    const double mean_above = sum_of([](double n, double above, double) { return n * above; }) /
                              static_cast<double>(members.count);
    const double squares = sum_of([mean_above](double n, double above, double within) {
      return within + n * ((above - mean_above) * (above - mean_above));
    });
    return {members.count, base, mean_above, squares, RowStatus::ok};
  }

  // What differences are divided by; `deviation` is the group's or the batch's.
  LOGSUM_HOST_DEVICE double divisor(double deviation) const {
    return scale == AdvantageScale::none ? 1.0 : deviation + epsilon;
  }

  LOGSUM_HOST_DEVICE void write_sample(std::int64_t group, std::int64_t i, const GroupMeasure& m,
                                       double divisor) const {
    const std::int64_t at = group * size + i;
    advantages.set(at, !mask.counts(at) ? 0.0f
                       : m.is_ok()      ? advantage(rewards.real(at) - m.base - m.mean, m, divisor)
                                        : kNan);
  }

  LOGSUM_HOST_DEVICE void write_group(std::int64_t group, const GroupMeasure& m) const {
    const bool is_number = m.is_ok() || m.status == RowStatus::ignored;
    mean.set(group, is_number ? static_cast<float>(m.base + m.mean) : kNan);
    std.set(group, is_number ? static_cast<float>(m.deviation()) : kNan);
    group_status.set_integer(group, 0, static_cast<std::int64_t>(m.status));
  }

 private:
  // Larger ones could leave f64 when squared and added.
  static constexpr double kBound = 0x1p400;

  LOGSUM_HOST_DEVICE Members member(std::int64_t at, std::int64_t i) const {
    if (!mask.counts(at)) return {};
    const double reward = rewards.real(at);
    return {1, i, reward != reward, std::fabs(reward) >= kBound};
  }

  // n/(n − 1) times the distance to the mean is the distance to the mean of the others.
  LOGSUM_HOST_DEVICE float advantage(double difference, const GroupMeasure& m,
                                     double divisor) const {
    if (m.count == 1 || divisor == 0) return 0;
    const auto n = static_cast<double>(m.count);
    if (baseline == AdvantageBaseline::leave_one_out) difference *= n / (n - 1);
    return static_cast<float>(difference / divisor);
  }
};

}  // namespace logsum
