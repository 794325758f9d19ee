// SPDX-License-Identifier: Apache-2.0
// 1.15e8 draws against float64 softmax: a peaked row with tail tokens of probability 1e-8, a flat
// row and real rows, from seed and offset and from the caller's u. Each G-test raises a false alarm
// for one seed in a million.
#include <gtest/gtest.h>

#include <random>

#include "logsum/sample.hpp"
#include "support/cdf.hpp"
#include "support/counts.hpp"
#include "support/outputs.hpp"
#include "support/real_rows.hpp"

namespace logsum::test {
namespace {

enum class Source { seed, u };

// Draws `total` tokens (but for rounding) of one row [V], in calls of eight rows that are all it.
Counts counts_of(const Tensor& row, float temperature, Source source, std::int64_t total) {
  constexpr std::int64_t kRows = 8;
  const std::int64_t calls = total / kRows / (1 << 18) + 1;
  const std::int64_t draws = total / kRows / calls;
  const std::int64_t shape[] = {kRows, row.shape[0]}, strides[] = {0, 1};
  std::vector<std::int32_t> token(static_cast<std::size_t>(kRows * draws));
  std::vector<double> u(source == Source::u ? token.size() : 0);
  std::mt19937_64 random(9);
  Counts counts(static_cast<std::size_t>(row.shape[0]));
  for (std::int64_t done = 0; done < calls * kRows; done += kRows) {
    std::int64_t offset[kRows];
    for (std::int64_t i = 0; i < kRows; ++i) offset[i] = done + i;
    for (double& x : u) x = static_cast<double>(random() >> 11) * 0x1p-53;
    SampleArgs args{.logits = Tensor::strided(row.data, row.dtype, shape, strides),
                    .token = Tensor::of(token.data(), {kRows, draws}),
                    .temperature = temperature,
                    .seed = 20,
                    .offset = Tensor::of(offset, {kRows}),
                    .draws = draws};
    if (source == Source::u) args.u = Tensor::of(u.data(), {kRows, draws});
    must(on::sample(args));
    for (const std::int32_t t : token) ++counts.at(static_cast<std::size_t>(t));
  }
  return counts;
}

TEST(Distribution, PeakedRowWithItsTail) {
  const std::vector<float> z = peaked_row();
  const std::vector<double> p = probabilities_of(z, 1);
  const Tensor row = Tensor::of(z.data(), {20000});
  for (const auto& [source, total] :
       {std::pair{Source::seed, 25'000'000}, std::pair{Source::u, 15'000'000}}) {
    SCOPED_TRACE(source == Source::u ? "u" : "seed");
    const Counts counts = counts_of(row, 1, source, statistical_size(total));
    expect_fit(counts, p);
    expect_tail(counts, p);
  }
}

TEST(Distribution, FlatRow) {
  std::vector<float> z(50257, -7.53f);
  for (std::size_t i = 4; i < z.size(); i += 5) z[i] = -kInf;
  const std::vector<double> p = probabilities_of(z, 1);
  const Tensor row = Tensor::of(z.data(), {50257});
  expect_fit(counts_of(row, 1, Source::seed, statistical_size(20'000'000)), p);
  expect_fit(counts_of(row, 1, Source::u, statistical_size(10'000'000)), p);
}

// Rows of a language model as they came, bf16.
TEST(Distribution, RealRows) {
  const RealRows real("policy_logits");
  for (std::int64_t i = 0; i < real.rows(); ++i) {
    const std::vector<float> z = real.values(i);
    const Tensor row = real.row(i);
    SCOPED_TRACE("row " + std::to_string(i));
    const std::int64_t total = statistical_size(20'000'000 / real.rows());
    expect_fit(counts_of(row, 1, Source::seed, total), probabilities_of(z, 1));
    expect_fit(counts_of(row, 0.75f, Source::u, total), probabilities_of(z, 0.75f));
  }
}

// The test itself: it sees a temperature that is off by 1 % (10 % in a hundredth of the draws), and
// draws that fit too well.
TEST(Distribution, ABiasWouldShow) {
  const std::vector<float> z = gaussian(20000, 3, 2.5f, 0);
  const Counts counts =
      counts_of(Tensor::of(z.data(), {20000}), 1, Source::seed, statistical_size(5'000'000));
  EXPECT_TRUE(fits(counts, probabilities_of(z, 1)));
  EXPECT_FALSE(fits(counts, probabilities_of(z, is_quick() ? 1.1 : 1.01)));
  EXPECT_FALSE(fits(counts, probabilities_of(z, is_quick() ? 0.9 : 0.99)));
  Counts even(1000, 500);
  EXPECT_FALSE(fits(even, std::vector<double>(1000, 1e-3)));
}

}  // namespace
}  // namespace logsum::test
