// SPDX-License-Identifier: Apache-2.0
#include "logsum/group_advantages.hpp"

#include "support/advantages.hpp"
#include "support/all_machines.hpp"
#include "support/layouts.hpp"

namespace logsum::test {
namespace {

using Rewards = std::vector<float>;
constexpr auto kGroup = AdvantageScale::group, kBatch = AdvantageScale::batch;
constexpr auto kNone = AdvantageScale::none;
constexpr auto kLeaveOneOut = AdvantageBaseline::leave_one_out;

// Rewards of every kind that trainers give: 0 or 1, around 0, far from it, tiny, huge.
std::vector<Rewards> kinds_of_rewards(std::int64_t count) {
  const auto right = [](float x, std::int64_t) { return x > 0.3f ? 1.0f : 0.0f; };
  return {mapped(gaussian(count, 1, 1, 0), right), gaussian(count, 2, 1, 0.3f),
          gaussian(count, 3, 1, 1e6f), gaussian(count, 4, 1e-38f, 1e-38f),
          gaussian(count, 5, 5e37f, 0)};
}

TEST(GroupAdvantages, AreWhatTheyAreDefinedToBe) {
  for (const std::int64_t size : {1, 2, 3, 8, 31, 32, 33, 64, 1000})
    for (const Rewards& rewards : kinds_of_rewards(5 * size)) {
      const std::vector<double> wide(rewards.begin(), rewards.end());
      for (const GroupAdvantagesArgs& args : advantage_parameters())
        for (const Context& context : merge_contexts()) {
          SCOPED_TRACE(describe(args) + ", size " + std::to_string(size) + ", " + name_of(context));
          expect_true(advantages_of(rewards, size, args, context), rewards, size, args);
          expect_true(advantages_of(wide, size, args, context), wide, size, args);
          if (HasFatalFailure()) return;
        }
    }
}

TEST(GroupAdvantages, F64RewardsKeepTheirPrecision) {
  std::vector<double> rewards;
  for (const float x : gaussian(64, 6, 1, 0)) rewards.push_back(1e9 + 1e-3 * double(x));
  for (const GroupAdvantagesArgs& args : advantage_parameters())
    for (const Context& context : merge_contexts())
      expect_true(advantages_of(rewards, 8, args, context), rewards, 8, args);
}

TEST(GroupAdvantages, ParametersMatter) {
  const Rewards rewards = {1, 2, 6, 0, 0, 3};
  const auto all = [&](const GroupAdvantagesArgs& args, const Context& context) {
    return advantages_of(rewards, 3, args, context).advantages;
  };
  for (const Context& context : merge_contexts()) {
    EXPECT_EQ(all({.scale = kNone}, context), (Rewards{-2, -1, 3, -1, -1, 2}));
    EXPECT_EQ(all({.scale = kNone, .baseline = kLeaveOneOut}, context),
              (Rewards{-3, -1.5f, 4.5f, -1.5f, -1.5f, 3}));
    // The groups' variances are 7 and 3, the batch's 5.2.
    EXPECT_NEAR(all({.epsilon = 0}, context)[2], 3 / std::sqrt(7.0), 1e-6);
    EXPECT_NEAR(all({}, context)[2], 3 / (std::sqrt(7.0) + 1e-4), 1e-6);
    EXPECT_NEAR(all({.epsilon = 1}, context)[5], 2 / (std::sqrt(3.0) + 1), 1e-6);
    EXPECT_NEAR(all({.scale = kBatch}, context)[2], 3 / (std::sqrt(5.2) + 1e-4), 1e-6);
    EXPECT_NEAR(all({.scale = kBatch, .epsilon = 1}, context)[5], 2 / (std::sqrt(5.2) + 1), 1e-6);
    EXPECT_EQ(advantages_of(rewards, 3, {}, context).mean, (Rewards{3, 1}));
  }
}

template <class Real>
void expect_zeros(Real reward, std::int64_t size) {
  const std::vector<Real> rewards(std::size_t(3 * size), reward);
  for (const Context& context : merge_contexts())
    for (GroupAdvantagesArgs args : advantage_parameters())
      for (const double epsilon : {args.epsilon, 0.0, 1e-300}) {
        args.epsilon = epsilon;
        const Advantages got = advantages_of(rewards, size, args, context);
        for (const float a : got.advantages) ASSERT_TRUE(same_bits(a, 0.0f)) << a;
        for (const float std : got.std) ASSERT_TRUE(same_bits(std, 0.0f)) << std;
        for (const float mean : got.mean) ASSERT_EQ(mean, static_cast<float>(reward));
      }
}

TEST(GroupAdvantages, EqualRewardsAndLoneOnesGiveExactlyZero) {
  // 0.1 + 0.1 + 0.1 isn't 3 · 0.1, in f64.
  for (const std::int64_t size : {1, 2, 3, 7, 10, 33, 1000}) {
    for (const double reward : {0.0, 0.1, -1.0 / 3, 1e-20, 1e30}) {
      expect_zeros(reward, size);
      expect_zeros(static_cast<float>(reward), size);
      if (HasFatalFailure()) return;
    }
    if (size > 1) continue;
    // Of different groups, too.
    for (const Context& context : merge_contexts())
      for (const float a :
           advantages_of(Rewards{1, 2, 5}, 1, {.scale = kBatch}, context).advantages)
        ASSERT_TRUE(same_bits(a, 0.0f));
  }
}

TEST(GroupAdvantages, SickGroupsHarmNoOther) {
  const std::int64_t size = 4;
  Rewards rewards = gaussian(7 * size, 7, 1, 2);
  const Rewards healthy = rewards;
  rewards[1 * size + 2] = kNaN;
  rewards[2 * size + 0] = kInf;
  rewards[3 * size + 3] = -kInf;
  rewards[5 * size + 1] = -kInf;
  rewards[5 * size + 2] = kNaN;
  const std::vector<std::int32_t> statuses = {0, 3, 4, 4, 0, 3, 0};  // row_status.hpp
  for (const Context& context : merge_contexts())
    for (const GroupAdvantagesArgs& args : advantage_parameters()) {
      SCOPED_TRACE(describe(args) + ", " + name_of(context));
      const Advantages got = advantages_of(rewards, size, args, context);
      EXPECT_EQ(got.status, statuses);
      for (std::size_t i = 0; i < got.advantages.size(); ++i)
        EXPECT_EQ(std::isnan(got.advantages[i]), statuses[i / size] != 0);
      for (std::size_t g = 0; g < 7; ++g) {
        EXPECT_EQ(std::isnan(got.mean[g]), statuses[g] != 0);
        EXPECT_EQ(std::isnan(got.std[g]), statuses[g] != 0);
      }
      expect_true(got, rewards, size, args);  // the batch's deviation is of the others
      if (args.scale == kBatch) continue;
      const Advantages without = advantages_of(healthy, size, args, context);
      for (std::size_t i = 0; i < got.advantages.size(); ++i)
        EXPECT_TRUE(statuses[i / size] != 0 || same_bits(got.advantages[i], without.advantages[i]));
    }
  // f64 goes further than its squares.
  for (const Context& context : merge_contexts()) {
    EXPECT_EQ(advantages_of(std::vector<double>{1, 1e200}, 2, {}, context).status[0], 4);
    EXPECT_EQ(advantages_of(std::vector<double>{-1e120, 1e120}, 2, {}, context).status[0], 0);
    EXPECT_NEAR(advantages_of(std::vector<double>{-1e120, 1e120}, 2, {}, context).advantages[1],
                std::sqrt(0.5), 1e-7);
  }
}

TEST(GroupAdvantages, MaskedSamplesDontCount) {
  const std::int64_t size = 9;
  Rewards rewards = gaussian(6 * size, 8, 1, 2);
  Mask mask(rewards.size());
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const std::size_t group = i / size;
    mask[i] = group == 1 ? 0 : group == 2 ? i % size == 4 : i % 3 != 0 ? 200 : 0;
    if (!mask[i]) rewards[i] = i % 2 ? kNaN : kInf;  // must not be looked at
  }
  for (const Context& context : merge_contexts())
    for (const GroupAdvantagesArgs& args : advantage_parameters()) {
      const Advantages got = advantages_of(rewards, size, args, context, mask);
      expect_true(got, rewards, size, args, mask);
      EXPECT_EQ(got.status, (std::vector<std::int32_t>{0, 1, 0, 0, 0, 0}));
      // Without the mask the garbage shows: the mask changes the answer.
      EXPECT_EQ(advantages_of(rewards, size, args, context).status[0], 3);
    }
}

TEST(GroupAdvantages, BitsAreTheSameEverywhere) {
  for (const GroupAdvantagesArgs& args : advantage_parameters())
    for (const auto& [groups, size] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 1}, {3, 8}, {31, 100}, {257, 16}, {5000, 5}, {4, 3001}}) {
      const Rewards rewards = gaussian(groups * size, 9, 1, 0.7f);
      const Advantages first = advantages_of(rewards, size, args, fast_contexts()[0]);
      for (const Context& context : all_machines()) {
        SCOPED_TRACE(describe(args) + ", " + name_of(context));
        ASSERT_TRUE(same_bits(advantages_of(rewards, size, args, context), first));
      }
      if (args.scale == kBatch) continue;
      const Rewards last(rewards.end() - size, rewards.end());
      const Advantages alone = advantages_of(last, size, args);
      ASSERT_TRUE(same_bits(alone.std[0], first.std.back()));
      ASSERT_TRUE(std::equal(alone.advantages.begin(), alone.advantages.end(),
                             first.advantages.end() - size));
    }
}

TEST(GroupAdvantages, AnyStrides) {
  const std::int64_t groups = 6, size = 11;
  const Rewards rewards = gaussian(groups * size, 10, 1, 0);
  Mask mask(rewards.size());
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 5 != 2;
  const Advantages first = advantages_of(rewards, size, {}, {}, mask);
  for (const Layout& layout : layouts_of_last_dim()) {
    SCOPED_TRACE(layout.name);
    Rows in(layout, groups, size, DType::f32), out(layout, groups, size, DType::f32);
    for (std::int64_t g = 0; g < groups; ++g)
      in.set_row(g, Rewards(rewards.begin() + g * size, rewards.begin() + (g + 1) * size));
    const Tensor t = in.tensor();
    std::vector<float> mean(groups);
    ASSERT_TRUE(
        on::group_advantages({.rewards = t,
                              .mask = Tensor::contiguous(mask.data(), DType::boolean,
                                                         std::span(t.shape, std::size_t(t.rank))),
                              .advantages = out.tensor(),
                              .mean = in.per_row(mean)})
            .ok());
    EXPECT_EQ(mean, first.mean);
    for (std::int64_t i = 0; i < groups * size; ++i)
      ASSERT_TRUE(same_bits(out.get(i / size, i % size), first.advantages[std::size_t(i)]));
  }
}

TEST(GroupAdvantages, UsesTheWorkspaceItAsksFor) {
  const Rewards rewards = gaussian(400, 11, 1, 0);
  Rewards advantages(400);
  GroupAdvantagesArgs args{.rewards = Tensor::of(rewards.data(), {5, 10, 8}),
                           .advantages = Tensor::of(advantages.data(), {5, 10, 8})};
  for (const AdvantageScale scale : {kGroup, kNone}) {
    args.scale = scale;
    EXPECT_EQ(on::group_advantages_workspace_size(args), 0u);
  }
  args.scale = kBatch;
  const std::size_t size = on::group_advantages_workspace_size(args);
  std::vector<std::uint64_t> memory(size / 8 + 1, 0x1234567890abcdef);
  EXPECT_TRUE(on::group_advantages(args, {.workspace = {memory.data(), size}}).ok());
  EXPECT_EQ(memory.back(), 0x1234567890abcdef);
  EXPECT_EQ(advantages, advantages_of(rewards, 8, {.scale = kBatch}).advantages);
  EXPECT_EQ(on::group_advantages(args, {.workspace = {memory.data(), size - 8}}).code(),
            StatusCode::out_of_memory);
}

TEST(GroupAdvantages, NoGroupsAndNoSamples) {
  for (const Context& context : merge_contexts())
    for (const AdvantageScale scale : {kGroup, kBatch, kNone}) {
      float mean[2] = {99, 99};
      std::int32_t status[2] = {99, 99};
      const auto call = [&](std::int64_t groups, std::int64_t size) {
        const Tensor none = Tensor::of(static_cast<float*>(nullptr), {groups, size});
        return on::group_advantages({.rewards = none,
                                     .advantages = none,
                                     .mean = Tensor::of(mean, {groups}),
                                     .group_status = Tensor::of(status, {groups}),
                                     .scale = scale},
                                    context);
      };
      EXPECT_TRUE(call(0, 4).ok());
      EXPECT_EQ(mean[0], 99);
      EXPECT_TRUE(call(2, 0).ok());
      EXPECT_EQ(mean[1], 0);
      EXPECT_EQ(status[1], static_cast<std::int32_t>(RowStatus::ignored));
    }
}

}  // namespace
}  // namespace logsum::test
