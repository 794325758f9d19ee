// SPDX-License-Identifier: Apache-2.0
// group_advantages with every output asked for, and its definition in long double.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "logsum/group_advantages.hpp"
#include "support/matrix.hpp"

namespace logsum::test {

// Outputs hold 99 before the call, so that one that isn't written shows.
struct Advantages {
  std::vector<float> advantages, mean, std;
  std::vector<std::int32_t> status;

  Advantages(std::int64_t groups, std::int64_t size)
      : advantages(std::size_t(groups * size), 99),
        mean(std::size_t(groups), 99),
        std(std::size_t(groups), 99),
        status(std::size_t(groups), 99) {}
};

using Mask = std::vector<std::uint8_t>;

// Of [groups, size] rewards; `args` brings parameters.
template <class Real>
Advantages advantages_of(const std::vector<Real>& rewards, std::int64_t size,
                         GroupAdvantagesArgs args = {}, const Context& context = {},
                         const Mask& mask = {}) {
  const std::int64_t groups = static_cast<std::int64_t>(rewards.size()) / size;
  Advantages a(groups, size);
  args.rewards = Tensor::of(rewards.data(), {groups, size});
  if (!mask.empty()) args.mask = Tensor::of(mask.data(), {groups, size});
  args.advantages = Tensor::of(a.advantages.data(), {groups, size});
  args.mean = Tensor::of(a.mean.data(), {groups});
  args.std = Tensor::of(a.std.data(), {groups});
  args.group_status = Tensor::of(a.status.data(), {groups});
  const Status status = on::group_advantages(args, context);
  EXPECT_TRUE(status.ok()) << status.message();
  return a;
}

inline ::testing::AssertionResult same_bits(const Advantages& a, const Advantages& b) {
  const auto differ = [](const std::vector<float>& x, const std::vector<float>& y) {
    return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0;
  };
  const char* what = nullptr;
  if (differ(a.advantages, b.advantages)) what = "advantages";
  if (differ(a.mean, b.mean)) what = "mean";
  if (differ(a.std, b.std)) what = "std";
  if (a.status != b.status) what = "group_status";
  if (what == nullptr) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << what << " differs";
}

// Some finite rewards, by the textbook.
struct TrueMoments {
  long double mean = 0, std = 0, largest = 0;

  explicit TrueMoments(const std::vector<double>& rewards) {
    const auto n = static_cast<long double>(rewards.size());
    for (const double r : rewards) mean += r / n;
    for (const double r : rewards) std += (r - mean) * (r - mean);
    std = rewards.size() > 1 ? std::sqrt(std / (n - 1)) : 0;
    for (const double r : rewards) largest = std::max<long double>(largest, std::fabs(r));
  }
};

// Compares all of a call's finite groups with the truth.
template <class Real>
void expect_true(const Advantages& got, const std::vector<Real>& rewards, std::int64_t size,
                 const GroupAdvantagesArgs& args, const Mask& mask = {}) {
  const auto groups = std::int64_t(got.mean.size());
  std::vector<std::vector<double>> counted(got.mean.size());
  std::vector<double> batch;
  for (std::int64_t i = 0; i < groups * size; ++i)
    if (mask.empty() || mask[std::size_t(i)])
      counted[std::size_t(i / size)].push_back(static_cast<double>(rewards[std::size_t(i)]));
  const auto is_finite = [](const std::vector<double>& group) {
    return std::all_of(group.begin(), group.end(), [](double r) { return std::isfinite(r); });
  };
  for (const auto& group : counted)
    if (is_finite(group)) batch.insert(batch.end(), group.begin(), group.end());
  const long double batch_std = TrueMoments(batch).std;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::vector<double>& group = counted[std::size_t(g)];
    if (!is_finite(group)) continue;
    const TrueMoments moments(group);
    const auto n = static_cast<long double>(group.size());
    std::vector<long double> truth;
    long double largest = 0;
    for (const double r : group) {
      long double a = r - moments.mean;
      if (args.baseline == AdvantageBaseline::leave_one_out)
        a = n > 1 ? r - (moments.mean * n - r) / (n - 1) : 0;
      if (args.scale != AdvantageScale::none)
        a /= (args.scale == AdvantageScale::batch ? batch_std : moments.std) + args.epsilon;
      truth.push_back(a);
      largest = std::max(largest, std::fabs(a));
    }
    const auto slack = 1e-7L * largest + 0x1p-149L;
    std::size_t i = 0;
    for (std::int64_t at = g * size; at < (g + 1) * size; ++at) {
      const bool counts = mask.empty() || mask[std::size_t(at)];
      const long double wanted = counts ? truth[i++] : 0;
      ASSERT_LE(std::fabs(got.advantages[std::size_t(at)] - wanted), counts ? slack : 0)
          << "group " << g << ", sample " << at - g * size << ": "
          << got.advantages[std::size_t(at)] << ", not " << wanted;
    }
    ASSERT_LE(std::fabs(got.mean[std::size_t(g)] - moments.mean), 1e-7L * moments.largest + 1e-45L);
    ASSERT_LE(std::fabs(got.std[std::size_t(g)] - moments.std), 1e-7L * moments.std + 1e-45L);
    ASSERT_EQ(got.status[std::size_t(g)],
              static_cast<std::int32_t>(group.empty() ? RowStatus::ignored : RowStatus::ok));
  }
}

// Every way to scale and to take a baseline.
inline std::vector<GroupAdvantagesArgs> advantage_parameters() {
  std::vector<GroupAdvantagesArgs> all;
  for (const auto scale : {AdvantageScale::group, AdvantageScale::batch, AdvantageScale::none})
    for (const auto baseline : {AdvantageBaseline::mean, AdvantageBaseline::leave_one_out})
      for (const double epsilon : {1e-4, 0.5}) {
        if (scale == AdvantageScale::none && epsilon != 1e-4) continue;
        all.push_back({.scale = scale, .baseline = baseline, .epsilon = epsilon});
      }
  return all;
}

inline std::string describe(const GroupAdvantagesArgs& args) {
  return "scale " + std::to_string(int(args.scale)) + ", baseline " +
         std::to_string(int(args.baseline)) + ", epsilon " + std::to_string(args.epsilon);
}

}  // namespace logsum::test
