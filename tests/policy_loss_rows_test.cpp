// SPDX-License-Identifier: Apache-2.0
// A row's results of policy_loss are its own (and its sequence's): whatever the batch, the slot,
// the packing, the memory and the machine, to the bit.
#include <gtest/gtest.h>

#include <numeric>

#include "support/loss_properties.hpp"
#include "support/policy_grid.hpp"

namespace logsum::test {
namespace {

// Every objective and level with all that a token's loss may have; one that is coupled by its mask
// alone.
std::vector<PolicyOptions> all_options() {
  std::vector<PolicyOptions> all = policy_objectives();
  all.push_back({.off_policy_threshold = 0.02f});
  for (PolicyOptions& o : all) {
    o.beta = 0.2f;
    o.use_bias_correction_kl = o.ratio_level == RatioLevel::sequence;
    o.entropy_coef = 0.1f;
    o.aggregation = static_cast<Aggregation>((&o - all.data()) % 4);
  }
  return all;
}

// Takes what doesn't count away from the reach of all results: NaN everywhere.
void poison(Policy& p) {
  for (std::size_t i = 0; i < p.rows(); ++i) {
    if (p.counts(i)) continue;
    std::fill(p.logits[i].begin(), p.logits[i].end(), kNaN);
    for (std::vector<float>* values : {&p.old, &p.ref, &p.sampling, &p.temperatures})
      (*values)[i] = kNaN;
    if (p.mask.empty() || !p.mask[i]) p.targets[i] = -7;
  }
}

// Completions of these lengths, padded, with every tensor; normalizers are given.
Policy completions(const PolicyOptions& options, std::int64_t columns,
                   const std::vector<std::size_t>& lengths, DType dtype = DType::f32) {
  constexpr std::size_t kTokens = 5;
  Policy p = policy_batch(options, std::int64_t(lengths.size()), kTokens, columns, 3, dtype);
  for (std::size_t i = 0; i < p.rows(); ++i) {
    p.mask.push_back(i % kTokens < lengths[i / kTokens]);
    p.entropy_mask.push_back(i % 7 != 2);
    p.temperatures.push_back(0.7f + 0.125f * static_cast<float>(i % 4));
    p.sampling.push_back(p.old[i] + 0.1f * static_cast<float>(i % 3));
    p.weights.push_back(0.5f + 0.25f * static_cast<float>(i % 5));
  }
  p.normalizer = 17;
  p.entropy_normalizer = 13;
  poison(p);
  return p;
}
const std::vector<std::size_t> kLengths = {5, 3, 0, 1, 5, 2};

// Some sequences of a padded batch.
Policy with_sequences(Policy p, const std::vector<std::size_t>& sequences) {
  std::vector<std::size_t> rows;
  for (const std::size_t b : sequences)
    for (std::int64_t t = 0; t < p.tokens; ++t)
      rows.push_back(p.begin_of(std::int64_t(b)) + std::size_t(t));
  keep(p.advantages, sequences);
  p = with_rows(p, rows);
  p.sequences = std::int64_t(sequences.size());
  return p;
}

TEST(PolicyLossRows, NeitherBatchNorSlotMatter) {
  for (const PolicyOptions& options : all_options())
    for (const std::int64_t columns : {33, 9000}) {
      const Policy p = completions(options, columns, kLengths);
      PolicyCall all(p);
      all.run();
      for (const std::vector<std::size_t>& order :
           std::vector<std::vector<std::size_t>>{{5, 4, 3, 2, 1, 0}, {4}, {3}, {1, 1, 0}, {2, 5}}) {
        PolicyCall some(with_sequences(p, order));
        some.run();
        for (std::size_t i = 0; i < some.p.rows(); ++i)
          ASSERT_TRUE(same_row(some, i, all, order[i / 5] * 5 + i % 5))
              << "objective " << int(options.objective);
      }
    }
}

TEST(PolicyLossRows, MaskedRowsArentReadAndAreZero) {
  for (const PolicyOptions& options : all_options()) {
    const Policy p = completions(options, 1000, kLengths);
    PolicyCall got(p);
    got.run();
    EXPECT_TRUE(std::isfinite(got.loss));
    for (std::size_t i = 0; i < p.rows(); ++i) {
      if (p.counts(i)) {
        EXPECT_EQ(got.status_of(i), RowStatus::ok) << i;
        continue;
      }
      EXPECT_TRUE(got.gradient_is(i, 0.0f)) << i;
      for (const float x : {got.token_loss[i], got.logps[i], got.kl[i], got.entropy[i]})
        EXPECT_TRUE(same_bits(x, 0.0f)) << i;
      EXPECT_EQ(got.status_of(i), RowStatus::ignored);
    }
    // By ignore_index as by the mask, and both kinds of integers and of flags.
    Policy ignored = p;
    for (std::size_t i = 0; i < p.rows(); ++i)
      if (!p.counts(i)) ignored.targets[i] = -5;
    ignored.mask.clear();
    ignored.ignore_index = -5;
    PolicyCall by_target(ignored);
    EXPECT_TRUE(same_results(by_target.run(), got));
    std::vector<std::int32_t> narrow(p.targets.begin(), p.targets.end());
    PolicyCall by_i32(p);
    by_i32.args.targets = Tensor::of(narrow.data(), {p.sequences, p.tokens});
    by_i32.args.completion_mask.dtype = by_i32.args.entropy_mask.dtype = DType::boolean;
    for (std::uint8_t& m : by_i32.p.mask) m = m ? 200 : 0;
    EXPECT_TRUE(same_results(by_i32.run(), got));
  }
}

TEST(PolicyLossRows, PackedOrPaddedToAnyLength) {
  for (const PolicyOptions& options : all_options()) {
    const Policy p = completions(options, 1000, kLengths);
    PolicyCall padded(p);
    padded.run();
    std::vector<std::size_t> rows;
    PolicyCall dense(packed(p, rows));
    dense.run();
    ASSERT_EQ(rows.size(), 16u);
    for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_TRUE(same_row(dense, i, padded, rows[i]));
    EXPECT_TRUE(same_totals(dense, padded)) << "objective " << int(options.objective);

    // Three more tokens of padding.
    Policy longer = p;
    std::vector<std::size_t> source;
    for (std::size_t i = 0; i < 6 * 8; ++i) source.push_back(i % 8 < 5 ? i / 8 * 5 + i % 8 : 10);
    longer = with_rows(longer, source);  // row 10 is of the empty sequence
    longer.tokens = 8;
    PolicyCall more(longer);
    more.run();
    for (std::size_t i = 0; i < source.size(); ++i)
      ASSERT_TRUE(same_row(more, i, padded, source[i]));
    EXPECT_TRUE(same_totals(more, padded));

    expect_packed_with_masked<PolicyCall>(p, padded);
  }
}

TEST(PolicyLossRows, HalvesOfABatchAddUpToItsBits) {
  const auto half = [](const Policy& p, std::size_t first) {
    std::vector<std::size_t> sequences(static_cast<std::size_t>(p.sequences) / 2);
    std::iota(sequences.begin(), sequences.end(), first);
    return with_sequences(p, sequences);
  };
  for (const PolicyOptions& options : all_options())
    for (const std::size_t count : {2u, 6u, 10u, 14u})
      for (const bool is_packed : {false, true}) {
        std::vector<std::size_t> lengths, rows;
        for (std::size_t i = 0; i < count; ++i) lengths.push_back(kLengths[i % 6]);
        const Policy p = completions(options, 200, lengths);
        PolicyCall whole(is_packed ? packed(p, rows) : p);
        PolicyCall left(is_packed ? packed(half(p, 0), rows) : half(p, 0));
        PolicyCall right(is_packed ? packed(half(p, count / 2), rows) : half(p, count / 2));
        whole.run();
        EXPECT_EQ(left.run().loss + right.run().loss, whole.loss) << count;
        for (std::size_t i = 0; i < whole.p.rows(); ++i) {
          const bool is_left = i < left.p.rows();
          ASSERT_TRUE(same_row(whole, i, is_left ? left : right, is_left ? i : i - left.p.rows()));
        }
      }
}

TEST(PolicyLossRows, NeitherMemoryNorDtypeOfGradientMatter) {
  for (const PolicyOptions& options : all_options())
    for (const DType dtype : logits_dtypes())
      for (const std::int64_t columns : {33, 5000})
        expect_memory_doesnt_matter<PolicyCall>(completions(options, columns, kLengths, dtype));
}

TEST(PolicyLossRows, PaddedColumnsArentReadAndHaveNoGradient) {
  for (const PolicyOptions& options : {all_options()[0], all_options()[1], all_options()[8]})
    for (const DType dtype : logits_dtypes())
      for (const std::int64_t columns : {33, 4096, 5000})
        expect_padded_columns_arent_read<PolicyCall>(
            completions(options, columns, kLengths, dtype));
}

TEST(PolicyLossRows, ThreadsAndTargetsDontMatter) {
  for (const PolicyOptions& options : all_options())
    for (const std::int64_t columns : {1000, 33000})
      expect_machine_doesnt_matter<PolicyCall>(completions(options, columns, kLengths));
}

TEST(PolicyLossRows, OutputsDontMatterToOneAnother) {
  using A = PolicyLossArgs;
  for (PolicyOptions options : all_options())
    for (const float entropy_coef : {0.0f, 0.1f}) {
      options.entropy_coef = entropy_coef;
      SCOPED_TRACE("objective " + std::to_string(int(options.objective)));
      expect_outputs_dont_matter<PolicyCall, A>(
          completions(options, 5000, kLengths),
          {&A::loss, &A::per_token_loss, &A::per_token_kl, &A::per_token_logps, &A::entropy,
           &A::metrics, &A::row_status, &A::grad_logits},
          on::policy_loss);
    }
}

// Log-probs of the library's own sampler and scorer are this operation's: the ratio of a first step
// is 1, not nearly 1.
TEST(PolicyLossRows, RatioOfTheFirstStepIsOne) {
  for (const RatioLevel level : {RatioLevel::token, RatioLevel::sequence})
    for (const DType dtype : logits_dtypes())
      for (const Context& context : contract_contexts()) {
        Policy p = policy_batch({.ratio_level = level}, 6, 5, 5000, 8, dtype);
        for (std::size_t i = 0; i < p.rows(); ++i)
          p.temperatures.push_back(0.5f + 0.1f * static_cast<float>(i % 9));
        for (const bool sampled : {true, false}) {
          PolicyCall call(p);
          if (sampled)
            must(on::sample({.logits = call.args.logits,
                             .token = call.args.targets,
                             .logprob = call.args.old_per_token_logps,
                             .temperature = call.args.temperature,
                             .seed = 5},
                            context));
          else
            must(on::token_logprobs({.logits = call.args.logits,
                                     .targets = call.args.targets,
                                     .logprobs = call.args.old_per_token_logps,
                                     .temperature = call.args.temperature},
                                    context));
          call.run(context);
          EXPECT_EQ(call.metric(PolicyMetric::ratio_min), 1.0);
          EXPECT_EQ(call.metric(PolicyMetric::ratio_mean), 1.0);
          EXPECT_EQ(call.metric(PolicyMetric::ratio_max), 1.0);
          EXPECT_EQ(call.metric(PolicyMetric::effective_sample_size), 30.0);
          EXPECT_EQ(std::memcmp(call.logps.data(), call.p.old.data(), 30 * sizeof(float)), 0);
        }
      }
}

}  // namespace
}  // namespace logsum::test
