// SPDX-License-Identifier: Apache-2.0
// One row never harms another: every sick row gets the results numerics.md lists, and the healthy
// rows around it keep their bits.
#include <gtest/gtest.h>

#include "support/outputs.hpp"
#include "support/shards.hpp"

namespace logsum::test {
namespace {

RowStatus expected_status(const std::vector<float>& z) {
  if (std::any_of(z.begin(), z.end(), [](float x) { return std::isnan(x); })) return RowStatus::nan;
  if (std::any_of(z.begin(), z.end(), [](float x) { return x == kInf; })) return RowStatus::pos_inf;
  return RowStatus::empty;
}

// Healthy rows at the even places, sick ones between them.
struct Ward {
  std::vector<RowCase> cases;
  Matrix mixed;
  std::vector<std::vector<float>> values;

  Ward(std::int64_t columns, DType dtype)
      : mixed(2 * static_cast<std::int64_t>(sick_rows().size()) + 1, columns, dtype, 1) {
    const auto healthy = healthy_rows();
    const auto sick = sick_rows();
    for (std::size_t i = 0; i <= 2 * sick.size(); ++i) {
      RowCase row = healthy[i / 2 % healthy.size()];
      if (i % 2)
        row = {sick[i / 2].name, [infect = sick[i / 2].infect](auto n, auto s) {
                 std::vector<float> z = gaussian(n, s, 2.5f, 0);
                 infect(z);
                 return z;
               }};
      values.push_back(row.make(columns, static_cast<std::uint32_t>(i)));
      mixed.set_row(static_cast<std::int64_t>(i), values.back());
      cases.push_back(row);
    }
  }
  std::int64_t rows() const { return static_cast<std::int64_t>(cases.size()); }
};

void expect_failed(const Scores& s, std::size_t i, RowStatus status) {
  EXPECT_EQ(s.status[i], static_cast<int>(status));
  for (std::size_t k = i * s.k; k < (i + 1) * s.k; ++k) {
    EXPECT_TRUE(std::isnan(s.logprobs[k]));
    EXPECT_EQ(s.rank[k], 0);
  }
  if (status == RowStatus::empty)
    EXPECT_EQ(s.lse[i], -kInf);
  else
    EXPECT_TRUE(std::isnan(s.lse[i]));
  EXPECT_TRUE(std::isnan(s.entropy[i]));
  EXPECT_EQ(s.argmax[i], -1);
  for (std::size_t k = i * s.n; k < (i + 1) * s.n; ++k) {
    EXPECT_EQ(s.top_ids[k], -1);
    EXPECT_TRUE(std::isnan(s.top_logprobs[k]));
  }
}

void expect_failed(const Draws& d, std::size_t i, RowStatus status) {
  EXPECT_EQ(d.status[i], static_cast<int>(status));
  for (std::size_t k = i * d.n; k < (i + 1) * d.n; ++k) {
    EXPECT_EQ(d.token[k], -1);
    EXPECT_TRUE(std::isnan(d.logprob[k]));
    EXPECT_TRUE(std::isnan(d.raw_logprob[k]));
  }
  if (status == RowStatus::empty)
    EXPECT_EQ(d.lse[i], -kInf);
  else
    EXPECT_TRUE(std::isnan(d.lse[i]));
  EXPECT_TRUE(std::isnan(d.entropy[i]));
}

constexpr std::int64_t kWidths[] = {1, 2, 7, 64, 257, 1023, 1025, 4096, 4097, 8200, 20000};

template <class Call>
void for_each_ward(const Call& call) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : kWidths) {
      Ward ward(columns, dtype);
      for (const Context& context : all_contexts()) {
        SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns) + " " +
                     name_of(context));
        call(ward, context);
        if (::testing::Test::HasFailure()) return;
      }
    }
}

TEST(SpecialRows, Scores) {
  for_each_ward([](Ward& ward, const Context& context) {
    const auto targets = spread_targets(ward.rows(), ward.mixed.tensor().shape[1]);
    const Scores all = scores_of(ward.mixed.tensor(), targets, context);
    for (std::size_t i = 0; i < ward.cases.size(); ++i) {
      SCOPED_TRACE(ward.cases[i].name);
      if (i % 2)
        expect_failed(all, i, expected_status(ward.values[i]));
      else
        EXPECT_TRUE(same_row(
            all, i, scores_of(ward.mixed.row(static_cast<std::int64_t>(i)), {targets[i]}, context),
            0));
    }
  });
}

TEST(SpecialRows, SamplesAtAnyTemperatureAndGreedy) {
  for_each_ward([](Ward& ward, const Context& context) {
    for (const float t : {1.0f, 0.5f, 0.0f}) {
      const SampleArgs args{.temperature = t, .seed = 5, .draws = 3};
      const Draws all = draws_of(ward.mixed.tensor(), context, args);
      for (std::size_t i = 0; i < ward.cases.size(); ++i) {
        SCOPED_TRACE(ward.cases[i].name + " T=" + std::to_string(t));
        if (i % 2)
          expect_failed(all, i, expected_status(ward.values[i]));
        else
          EXPECT_TRUE(same_row(
              all, i, draws_of(ward.mixed.row(static_cast<std::int64_t>(i)), context, args), 0));
      }
    }
  });
}

// Longer than the others': on a GPU a cluster of several CTAs, or spans that share it, find no mass
// in any of its tiles.
TEST(SpecialRows, AllMinusInfinityInALongRow) {
  constexpr std::int64_t kColumns = 151936;
  for (const DType dtype : logits_dtypes()) {
    Matrix z(3, kColumns, dtype);
    z.set_row(0, gaussian(kColumns, 1, 2.5f, 0));
    z.set_row(1, std::vector<float>(kColumns, -kInf));
    z.set_row(2, gaussian(kColumns, 2, 2.5f, 0));
    const std::vector<std::int64_t> targets = {7, kColumns - 1, 5000};
    for (const Context& context : all_contexts()) {
      SCOPED_TRACE(std::string(to_string(dtype)) + " " + name_of(context));
      const Scores scores = scores_of(z.tensor(), targets, context);
      expect_failed(scores, 1, RowStatus::empty);
      for (const std::size_t i : {0u, 2u})
        EXPECT_TRUE(same_row(
            scores, i, scores_of(z.row(static_cast<std::int64_t>(i)), {targets[i]}, context), 0));
      for (const float t : {0.5f, 0.0f}) {
        const SampleArgs args{.temperature = t, .seed = 5, .draws = 2};
        const Draws draws = draws_of(z.tensor(), context, args);
        expect_failed(draws, 1, RowStatus::empty);
        for (const std::size_t i : {0u, 2u})
          EXPECT_TRUE(
              same_row(draws, i, draws_of(z.row(static_cast<std::int64_t>(i)), context, args), 0));
      }
    }
  }
}

// In shards: merge may call a row with both a NaN and a +∞ pos_inf.
TEST(SpecialRows, Shards) {
  for_each_ward([](Ward& ward, const Context& context) {
    const std::int64_t columns = ward.mixed.tensor().shape[1];
    const auto targets = spread_targets(ward.rows(), columns);
    for (const float t : {1.0f, 0.0f}) {
      const Sharded all = in_shards(ward.mixed.tensor(), every_tile(columns), targets,
                                    {.temperature = t, .seed = 5, .draws = 3}, context);
      for (std::size_t i = 1; i < ward.cases.size(); i += 2) {
        SCOPED_TRACE(ward.cases[i].name + " T=" + std::to_string(t));
        const RowStatus status = expected_status(ward.values[i]);
        const bool has_infinity =
            std::find(ward.values[i].begin(), ward.values[i].end(), kInf) != ward.values[i].end();
        if (status == RowStatus::nan && has_infinity && columns > 1)
          EXPECT_TRUE(all.status[i] == static_cast<int>(RowStatus::nan) ||
                      all.status[i] == static_cast<int>(RowStatus::pos_inf));
        else
          EXPECT_EQ(all.status[i], static_cast<int>(status));
        EXPECT_TRUE(std::isnan(all.target_logprob[i]));
        EXPECT_TRUE(status == RowStatus::empty ? all.lse[i] == -kInf : std::isnan(all.lse[i]));
        EXPECT_TRUE(std::isnan(all.entropy[i]));
        EXPECT_TRUE(std::isnan(all.max[i]));
        EXPECT_EQ(all.argmax[i], -1);
        for (std::size_t k = 3 * i; k < 3 * i + 3; ++k) {
          EXPECT_EQ(all.token[k], -1);
          EXPECT_EQ(all.logprob[k], -kInf);
          EXPECT_EQ(all.token_logit[k], -kInf);
        }
      }
    }
  });
}

// −∞ has probability exactly 0: log-prob −∞, never drawn, last in the top; argmax is the lowest
// index of the maximum.
TEST(SpecialRows, MinusInfinityAndTies) {
  const float z[] = {-kInf, 2, -kInf, 2, 1, -kInf};
  const Tensor logits = Tensor::of(z, {1, 6});
  for (const Context& context : all_contexts()) {
    const Scores s = scores_of(logits, {0, 1, 2, 3, 4, 5}, context);
    EXPECT_EQ(s.status[0], 0);
    EXPECT_EQ(s.argmax[0], 1);
    EXPECT_EQ(s.top_ids, (std::vector<std::int64_t>{1, 3, 4, 0, 2}));
    EXPECT_EQ(s.rank, (std::vector<std::int64_t>{4, 1, 4, 1, 3, 4}));
    for (const std::size_t k : {0u, 2u, 5u}) EXPECT_EQ(s.logprobs[k], -kInf);
    EXPECT_EQ(s.top_logprobs[4], -kInf);
    const Draws d = draws_of(logits, context, {.draws = 2000});
    for (const std::int64_t token : d.token) EXPECT_TRUE(token == 1 || token == 3 || token == 4);
    const Draws greedy = draws_of(logits, context, {.temperature = 0.0f});
    EXPECT_EQ(greedy.token[0], 1);
    EXPECT_EQ(greedy.logprob[0], 0);
    EXPECT_EQ(greedy.entropy[0], 0);
    EXPECT_EQ(greedy.lse[0], 2);
    EXPECT_TRUE(same_bits(greedy.raw_logprob[0], s.logprobs[1]));
  }
}

}  // namespace
}  // namespace logsum::test
