// SPDX-License-Identifier: Apache-2.0
// Each parameter of token_logprobs and sample changes the answer, to what float64 says it should
// be; on both backends, which share the code that reads the arguments.
#include <gtest/gtest.h>

#include <set>

#include "support/cdf.hpp"
#include "support/outputs.hpp"
#include "support/truth.hpp"

namespace logsum::test {
namespace {

const Context kContexts[] = {{}, kReference};
constexpr std::int64_t kColumns = 300;
// Few columns of like probability: another uniform is another token, and no u of these tests lies
// beside a step.
const std::vector<float> kRow = gaussian(kColumns, 77, 0.5f, 3);

// The row, once per output row.
Tensor repeated(std::int64_t rows) {
  const std::int64_t shape[] = {rows, kColumns}, strides[] = {0, 1};
  return Tensor::strided(const_cast<float*>(kRow.data()), DType::f32, shape, strides);
}

// The tokens of draws 0, 1, … of this seed and offset.
std::vector<std::int64_t> tokens_of(std::uint64_t seed, std::uint64_t offset, std::uint32_t draws,
                                    double temperature = 1) {
  const std::vector<double> cdf = cdf_of(kRow, temperature);
  std::vector<std::int64_t> tokens;
  for (std::uint32_t k = 0; k < draws; ++k)
    tokens.push_back(token_at(cdf, uniform(seed, offset, k)));
  return tokens;
}

std::vector<std::int64_t> row_of(const Draws& d, std::size_t row) {
  const auto begin = d.token.begin() + static_cast<std::ptrdiff_t>(row * d.n);
  return {begin, begin + static_cast<std::ptrdiff_t>(d.n)};
}

void expect_truth(const Scores& s, std::size_t row, const Truth& truth, float target_logit) {
  EXPECT_TRUE(within_contract(s.lse[row], truth.lse())) << s.lse[row] << " " << truth.lse();
  EXPECT_TRUE(within_contract(s.entropy[row], truth.entropy()));
  EXPECT_TRUE(within_contract(s.logprobs[row], truth.logprob(target_logit)));
}

TEST(ScoreParameters, Temperature) {
  for (const Context& context : kContexts) {
    for (const float t : {0x1p-6f, 0.5f, 1.0f, 3.0f, 100.0f})
      expect_truth(scores_of(repeated(1), {5}, context, {.temperature = t}), 0, Truth(kRow, t),
                   kRow[5]);
    // One per row; one for all rows; from every second element; with dimensions.
    const float t[] = {0.5f, 9, 2.0f, 9, 0.25f, 9};
    const std::int64_t three[] = {3}, two[] = {2};
    const Tensor strided = Tensor::strided(const_cast<float*>(t), DType::f32, three, two);
    const Scores each = scores_of(repeated(3), {5, 6, 7}, context, {.temperature = strided});
    for (std::size_t i = 0; i < 3; ++i) expect_truth(each, i, Truth(kRow, t[2 * i]), kRow[5 + i]);
    for (const Tensor& one : {Tensor::of(t, {1}), Tensor::of(t, {})}) {
      const Scores all = scores_of(repeated(3), {5, 6, 7}, context, {.temperature = one});
      for (std::size_t i = 0; i < 3; ++i) expect_truth(all, i, Truth(kRow, 0.5), kRow[5 + i]);
    }
  }
}

TEST(ScoreParameters, IgnoreIndex) {
  for (const Context& context : kContexts) {
    const auto status_of = [&](std::int64_t target, std::int64_t ignore) {
      const Scores s = scores_of(repeated(1), {target}, context, {.ignore_index = ignore});
      EXPECT_EQ(s.logprobs[0] == 0, target == ignore);
      return static_cast<RowStatus>(s.status[0]);
    };
    EXPECT_EQ(status_of(-100, -100), RowStatus::ignored);
    EXPECT_EQ(status_of(-100, 5), RowStatus::bad_target);
    EXPECT_EQ(status_of(5, 5), RowStatus::ignored);
    EXPECT_EQ(status_of(5, -100), RowStatus::ok);
  }
}

TEST(ScoreParameters, VocabSize) {
  for (const Context& context : kContexts)
    for (const std::int64_t size : {1, 2, 150, 299, 300, 0}) {
      const std::vector<float> z(kRow.begin(), size ? kRow.begin() + size : kRow.end());
      const std::int64_t last = static_cast<std::int64_t>(z.size()) - 1;
      const Scores s = scores_of(repeated(1), {last}, context, {.vocab_size = size});
      expect_truth(s, 0, Truth(z), z.back());
      EXPECT_EQ(s.argmax[0], std::max_element(z.begin(), z.end()) - z.begin());
      EXPECT_EQ(s.rank[0],
                1 + std::count_if(z.begin(), z.end(), [&](float x) { return x > z.back(); }));
    }
}

// Both integer types, one target or many for each row.
TEST(ScoreParameters, Targets) {
  const std::int64_t wide[] = {3, 299, 0, 8};
  const std::int32_t narrow[] = {3, 299, 0, 8};
  const Truth truth(kRow);
  for (const Context& context : kContexts)
    for (const bool many : {false, true})
      for (const bool is_wide : {false, true}) {
        const std::int64_t rows = many ? 2 : 4;
        const std::int64_t shape[] = {rows, 2};
        const std::span dims(shape, many ? 2 : 1);
        const auto of = [&](const void* data, DType dtype) {
          return Tensor::contiguous(const_cast<void*>(data), dtype, dims);
        };
        float logprobs[4];
        must(on::token_logprobs({.logits = repeated(rows),
                                 .targets = is_wide ? of(wide, DType::i64) : of(narrow, DType::i32),
                                 .logprobs = of(logprobs, DType::f32)},
                                context));
        for (std::size_t i = 0; i < 4; ++i)
          EXPECT_TRUE(
              within_contract(logprobs[i], truth.logprob(kRow[static_cast<std::size_t>(wide[i])])));
      }
}

TEST(SampleParameters, SeedAndOffset) {
  const std::uint64_t values[] = {0, 1, 2, 1ull << 31, 1ull << 32, 1ull << 63, UINT64_MAX};
  for (const Context& context : kContexts) {
    std::set<std::vector<std::int64_t>> all;
    for (const std::uint64_t seed : values)
      for (const std::uint64_t offset : values) {
        const Draws d =
            draws_of(repeated(1), context, {.seed = seed, .offset = offset, .draws = 6});
        EXPECT_EQ(d.token, tokens_of(seed, offset, 6)) << seed << " " << offset;
        all.insert(d.token);
      }
    EXPECT_EQ(all.size(), 49u);
  }
}

// The row's own; a single element for all; by output row, not by the row of logits it reads.
TEST(SampleParameters, SeedAndOffsetOfARow) {
  const std::int64_t seed[] = {7, -1, INT64_MIN, 7}, offset[] = {-5, 3, 4, 6};
  const std::int64_t indices[] = {2, 0, 1, 0};
  for (const Context& context : kContexts)
    for (const bool indexed : {false, true}) {
      SampleArgs args{.seed = Tensor::of(seed, {4}), .offset = Tensor::of(offset, {4}), .draws = 4};
      if (indexed) args.indices = Tensor::of(indices, {4});
      const Draws d = draws_of(repeated(indexed ? 3 : 4), context, args);
      for (std::size_t i = 0; i < 4; ++i)
        EXPECT_EQ(row_of(d, i), tokens_of(static_cast<std::uint64_t>(seed[i]),
                                          static_cast<std::uint64_t>(offset[i]), 4));
      args.seed = Tensor::of(seed, {1});
      args.offset = 9;
      const Draws same = draws_of(repeated(indexed ? 3 : 4), context, args);
      for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(row_of(same, i), tokens_of(7, 9, 4));
    }
}

TEST(SampleParameters, Indices) {
  Matrix z(3, kColumns, DType::f32);
  for (std::uint32_t i = 0; i < 3; ++i) z.set_row(i, gaussian(kColumns, i, 0.5f, 0));
  const std::int32_t indices[] = {2, 0, 2, 1};
  for (const Context& context : kContexts) {
    const Draws d = draws_of(z.tensor(), context, {.indices = Tensor::of(indices, {4})});
    for (std::size_t i = 0; i < 4; ++i) {
      const auto row = gaussian(kColumns, static_cast<std::uint32_t>(indices[i]), 0.5f, 0);
      EXPECT_TRUE(within_contract(d.lse[i], Truth(row).lse()));
      EXPECT_EQ(d.token[i], token_at(cdf_of(row, 1), uniform(0, 0, 0)));
    }
  }
}

// Of each type, with and without a dimension of draws; the seed then says nothing.
TEST(SampleParameters, U) {
  const float narrow[] = {0.125f, 0.6f, 0.25f, 0.99f, 0.0f, 0.5f};
  const double wide[] = {0.125, 0.6, 0.25, 0.99, 0.0, 0.5};
  const std::vector<double> cdf = cdf_of(kRow, 1);
  for (const Context& context : kContexts)
    for (const std::uint64_t seed : {0u, 1u}) {
      const Tensor u = Tensor::of(narrow, {3, 2});
      const Draws d = draws_of(repeated(3), context, {.u = u, .seed = seed, .draws = 2});
      for (std::size_t i = 0; i < 6; ++i)
        EXPECT_EQ(d.token[i], token_at(cdf, static_cast<double>(narrow[i])));
      std::int32_t token[6];
      must(on::sample({.logits = repeated(6),
                       .token = Tensor::of(token, {6}),
                       .u = Tensor::of(wide, {6}),
                       .seed = seed},
                      context));
      for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(token[i], token_at(cdf, wide[i]));
    }
}

void expect_truth(const Draws& d, std::size_t row, double temperature, std::uint64_t seed) {
  const Truth truth(kRow, temperature), raw(kRow);
  EXPECT_TRUE(within_contract(d.lse[row], truth.lse()));
  EXPECT_TRUE(within_contract(d.entropy[row], truth.entropy()));
  EXPECT_EQ(row_of(d, row), tokens_of(seed, 0, static_cast<std::uint32_t>(d.n), temperature));
  for (std::size_t i = row * d.n; i < (row + 1) * d.n; ++i) {
    const float z = kRow[static_cast<std::size_t>(d.token[i])];
    EXPECT_TRUE(within_contract(d.logprob[i], truth.logprob(z)));
    EXPECT_TRUE(within_contract(d.raw_logprob[i], raw.logprob(z)));
  }
}

TEST(SampleParameters, Temperature) {
  const float t[] = {0.5f, 1, 2.0f, 0.125f};
  for (const Context& context : kContexts) {
    for (const float one : t)
      expect_truth(draws_of(repeated(1), context, {.temperature = one, .seed = 3, .draws = 4}), 0,
                   one, 3);
    const Draws d =
        draws_of(repeated(4), context, {.temperature = Tensor::of(t, {4}), .seed = 3, .draws = 4});
    for (std::size_t i = 0; i < 4; ++i) expect_truth(d, i, t[i], 3);
  }
}

// More draws go on where fewer ended.
TEST(SampleParameters, Draws) {
  for (const Context& context : kContexts)
    for (const std::uint32_t n : {1u, 2u, 7u, 1000u})
      EXPECT_EQ(draws_of(repeated(1), context, {.seed = 11, .draws = n}).token,
                tokens_of(11, 0, n));
}

TEST(SampleParameters, VocabSize) {
  const double u[] = {0, 0.5, 1 - 0x1p-53};
  for (const Context& context : kContexts)
    for (const std::int64_t size : {1, 2, 150, 299, 300, 0}) {
      const std::vector<float> z(kRow.begin(), size ? kRow.begin() + size : kRow.end());
      const std::vector<double> cdf = cdf_of(z, 1);
      const Draws d = draws_of(repeated(1), context,
                               {.u = Tensor::of(u, {1, 3}), .draws = 3, .vocab_size = size});
      EXPECT_TRUE(within_contract(d.lse[0], Truth(z).lse()));
      const auto last = static_cast<std::int64_t>(z.size()) - 1;
      EXPECT_EQ(d.token, (std::vector{std::int64_t{0}, token_at(cdf, 0.5), last}));
    }
}

}  // namespace
}  // namespace logsum::test
