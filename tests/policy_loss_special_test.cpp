// SPDX-License-Identifier: Apache-2.0
// policy_loss of rows without a distribution, targets and parameters out of range, sequences
// without tokens, normalizers that are tensors.
#include <gtest/gtest.h>

#include <memory>

#include "support/loss_properties.hpp"
#include "support/policy_grid.hpp"
#include "support/sick_tokens.hpp"

namespace logsum::test {
namespace {

Policy healthy(const PolicyOptions& options) {
  Policy p = policy_batch(options, 3, 4, 300, 4);
  p.temperatures.assign(p.rows(), 0.75f);
  p.normalizer = p.entropy_normalizer = 12;
  p.options.entropy_coef = 0.1f;
  return p;
}

TEST(PolicyLossSpecial, ARowsTroubleStaysInItsRowOrSequence) {
  constexpr std::size_t kBad = 6;  // in the second of three sequences of four
  for (const PolicyOptions& options : policy_objectives()) {
    const bool is_coupled =
        options.ratio_level == RatioLevel::sequence || options.objective == Objective::gmpo;
    for (const auto& sick : sick_tokens<Policy>())
      for (const Context& context : all_contexts()) {
        SCOPED_TRACE("objective " + std::to_string(int(options.objective)) + " " + sick.name + " " +
                     name_of(context));
        Policy p = healthy(options);
        PolicyCall well(p);
        well.run(context);
        sick.infect(p, kBad);
        PolicyCall got(p);
        got.run(context);
        EXPECT_EQ(got.status_of(kBad), sick.status);
        EXPECT_TRUE(std::isnan(got.loss) && std::isnan(got.token_loss[kBad]) &&
                    std::isnan(got.logps[kBad]) && std::isnan(got.kl[kBad]));
        EXPECT_TRUE(got.gradient_is(kBad, sick.gradient));
        double well_count = 0;
        for (std::size_t i = 0; i < p.rows(); ++i) {
          well_count += got.status_of(i) == RowStatus::ok;
          if (i == kBad) continue;
          if (i / 4 != kBad / 4) {
            ASSERT_TRUE(same_row(got, i, well, i));
          } else if (!is_coupled && options.objective != Objective::vespo) {
            ASSERT_TRUE(same_row(got, i, well, i));
          } else {
            EXPECT_TRUE(same_bits(got.logps[i], well.logps[i]));
          }
          if (i / 4 == kBad / 4 && options.ratio_level == RatioLevel::sequence) {
            EXPECT_TRUE(got.gradient_is(i, kNaN) || options.objective == Objective::cispo) << i;
          }
        }
        EXPECT_EQ(got.metric(PolicyMetric::token_count), 12);
        EXPECT_EQ(got.metric(PolicyMetric::bad_count), 12 - well_count);
        EXPECT_TRUE(std::isfinite(got.metric(PolicyMetric::entropy)));
        EXPECT_TRUE(std::isfinite(got.metric(PolicyMetric::ratio_mean)));
      }
  }
}

// Narrow targets and gradients: in place too, where a row's NaN could spread.
TEST(PolicyLossSpecial, InPlaceAndNarrow) {
  for (const auto& sick : sick_tokens<Policy>())
    for (const DType dtype : logits_dtypes()) {
      Policy p = policy_batch({}, 3, 4, 300, 4, dtype);
      p.temperatures.assign(p.rows(), 0.75f);
      p.normalizer = 12;
      PolicyCall well(p, {.grad = dtype});
      well.run();
      sick.infect(p, 6);
      PolicyCall got(p, {.grad = dtype, .in_place = true});
      got.run();
      EXPECT_TRUE(got.gradient_is(6, sick.gradient)) << sick.name << " " << to_string(dtype);
      for (std::size_t i = 0; i < p.rows(); ++i)
        ASSERT_TRUE(i == 6 || same_row(got, i, well, i)) << sick.name << " " << to_string(dtype);
    }
}

TEST(PolicyLossSpecial, NothingThatCountsIsALossOf0) {
  for (PolicyOptions options : policy_objectives())
    for (int aggregation = 0; aggregation < 4; ++aggregation)
      for (const bool count_empty : {false, true})
        for (const Context& context : all_contexts()) {
          options.aggregation = static_cast<Aggregation>(aggregation);
          options.count_empty_sequences = count_empty;
          Policy p = healthy(options);
          p.normalizer = p.entropy_normalizer = 0;
          p.mask.assign(p.rows(), 0);
          for (auto& z : p.logits) std::fill(z.begin(), z.end(), kNaN);
          PolicyCall none(p);
          none.run(context);
          EXPECT_EQ(none.loss, 0);
          for (const double m : none.metrics) EXPECT_EQ(m, 0);
          for (std::size_t i = 0; i < p.rows(); ++i) EXPECT_TRUE(none.gradient_is(i, 0.0f));
        }
}

// N of each aggregation, on a batch whose second sequence has no tokens and whose third has one.
TEST(PolicyLossSpecial, EmptyAndShortSequences) {
  for (const Context& context : all_contexts())
    for (int aggregation = 0; aggregation < 4; ++aggregation)
      for (const bool count_empty : {false, true})
        for (const bool is_packed : {false, true}) {
          Policy p = policy_batch({.objective = Objective::reinforce}, 3, 4, 50, 4);
          p.options.aggregation = static_cast<Aggregation>(aggregation);
          p.options.count_empty_sequences = count_empty;
          p.mask = {1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0};
          if (is_packed) p.offsets = {0, 4, 8, 12};
          PolicyCall got(p);
          got.run(context);
          const auto l = [&](std::size_t i) { return double(got.token_loss[i]); };
          const double first = l(0) + l(1) + l(3), third = l(10), n = count_empty ? 3 : 2;
          const double wanted[] = {(first + third) / 4, (first / 3 + third) / n,
                                   (first + third) / n, (first + third) / 12};
          EXPECT_NEAR(got.loss, wanted[aggregation], 1e-6) << name_of(context) << aggregation;
        }
  // Empty sequences first, last, and one behind another; none at all.
  Policy p = policy_batch({.ratio_level = RatioLevel::sequence}, 2, 3, 50, 4);
  p.normalizer = 6;
  PolicyCall dense(p);
  dense.run();
  p.offsets = {0, 0, 3, 3, 3, 6, 6, 6};
  p.sequences = 7;
  p.advantages = {9, p.advantages[0], 9, 9, p.advantages[1], 9, 9};
  PolicyCall sparse(p);
  sparse.run();
  for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(same_row(sparse, i, dense, i));
  EXPECT_EQ(sparse.loss, dense.loss);
}

TEST(PolicyLossSpecial, NoRows) {
  double loss = 99;
  std::vector<double> metrics(kPolicyMetrics, 99);
  const std::int32_t offsets[] = {0, 0, 0};
  float* const none = nullptr;
  std::int64_t* const no_integers = nullptr;
  float advantages[2] = {1, 1};
  for (const Context& context : all_contexts())
    for (const std::int64_t sequences : {0, 2}) {
      loss = 99;
      must(on::policy_loss({.logits = Tensor::of(none, {0, 10}),
                            .targets = Tensor::of(no_integers, {0}),
                            .advantages = Tensor::of(advantages, {sequences}),
                            .cu_seqlens = Tensor::of(offsets, {sequences + 1}),
                            .loss = Tensor::of(&loss, {}),
                            .metrics = Tensor::of(metrics.data(), {kPolicyMetrics}),
                            .grad_logits = Tensor::of(none, {0, 10})},
                           context));
      EXPECT_EQ(loss, 0) << name_of(context);
      for (const double m : metrics) EXPECT_EQ(m, 0);
    }
  for (const std::initializer_list<std::int64_t> shape :
       {std::initializer_list<std::int64_t>{0, 3}, {2, 0}}) {
    loss = 99;
    const std::int64_t sequences = *shape.begin();
    must(on::policy_loss({.logits = Tensor::of(none, {sequences, shape.begin()[1], 10}),
                          .targets = Tensor::of(no_integers, shape),
                          .advantages = Tensor::of(advantages, {sequences}),
                          .loss = Tensor::of(&loss, {})}));
    EXPECT_EQ(loss, 0);
  }
  // None of them is visited.
  constexpr std::int64_t kMany = std::int64_t{1} << 40;
  for (const Context& context : all_contexts()) {
    loss = 99;
    must(on::policy_loss({.logits = Tensor::of(none, {kMany, 0, 10}),
                          .targets = Tensor::of(no_integers, {kMany, 0}),
                          .advantages = Tensor::of(none, {kMany, 0}),
                          .loss = Tensor::of(&loss, {})},
                         context));
    EXPECT_EQ(loss, 0) << name_of(context);
  }
}

TEST(PolicyLossSpecial, NormalizersAndScalesOnTheDevice) {
  for (const Context& context : all_contexts())
    for (const auto of : {&PolicyLossArgs::normalizer, &PolicyLossArgs::entropy_normalizer,
                          &PolicyLossArgs::grad_scale}) {
      SCOPED_TRACE(name_of(context));
      expect_scalar_of_tensors(
          of != &PolicyLossArgs::grad_scale,
          [&](const PerRow<double>& value) {
            auto call = std::make_unique<PolicyCall>(healthy({}));
            call->args.*of = value;
            call->run(context);
            return call;
          },
          [](const PolicyCall& got) {
            EXPECT_TRUE(std::isnan(got.loss));
            EXPECT_EQ(got.metric(PolicyMetric::bad_count), 12);
            for (std::size_t i = 0; i < got.p.rows(); ++i)
              EXPECT_TRUE(got.status_of(i) == RowStatus::bad_parameter &&
                          got.gradient_is(i, kNaN) && std::isnan(got.entropy[i]));
          });
    }
}

}  // namespace
}  // namespace logsum::test
