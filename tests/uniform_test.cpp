// SPDX-License-Identifier: Apache-2.0
// From u to a token, where an off-by-one would show: both ends of [0, 1), exact steps of the cdf
// and their neighbours, order, and both types of u.
#include <gtest/gtest.h>

#include "support/cdf.hpp"
#include "support/outputs.hpp"

namespace logsum::test {
namespace {

constexpr double kBelowOne = 1 - 0x1p-53;
// The widths at which draw blocks, chunks and tiles end.
const std::int64_t kWidths[] = {1,    2,    63,   64,   65,   1023,  1025,
                                4095, 4096, 4097, 8192, 8193, 20000, 131075};

std::vector<std::int64_t> tokens_at(const Tensor& row, const std::vector<double>& u, float t,
                                    const Context& context = {}) {
  const auto n = static_cast<std::int64_t>(u.size());
  return draws_of(row, context, {.temperature = t, .u = Tensor::of(u.data(), {1, n}), .draws = n})
      .token;
}

// u = 0 is the first column with weight, the largest u the last, however little weight they have:
// e^-26 of the maximum's is above what may count as none, 2^-38.
TEST(Uniform, EndsAreTheFirstAndLastColumnsWithWeight) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t columns : kWidths)
      for (const std::int64_t masked : {std::int64_t{0}, std::int64_t{1}, columns / 3}) {
        const std::int64_t first = masked, last = columns - 1 - masked;
        if (first > last) continue;
        std::vector<float> z(static_cast<std::size_t>(columns), -kInf);
        std::fill(z.begin() + first, z.begin() + last + 1, -3.0f);
        Matrix flat(1, columns, dtype), peaked(1, columns, dtype);
        flat.set_row(0, z);
        // Alone in the middle but for the two ends.
        std::fill(z.begin() + first, z.begin() + last + 1, -kInf);
        z[static_cast<std::size_t>((first + last) / 2)] = 2.0f;
        z[static_cast<std::size_t>(first)] = z[static_cast<std::size_t>(last)] = 2.0f - 26.0f;
        peaked.set_row(0, z);
        SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns) + " masked " +
                     std::to_string(masked));
        for (const Context& context : fast_contexts())
          for (Matrix* const m : {&flat, &peaked})
            EXPECT_EQ(tokens_at(m->tensor(), {0.0, -0.0, 0x1p-1074, kBelowOne}, 1, context),
                      (std::vector{first, first, first, last}));
      }
}

// f32's own largest u is 2^-24 below 1, and as exact as the same number in f64.
TEST(Uniform, OfEitherType) {
  for (const std::int64_t columns : {5, 300, 5000, 40000}) {
    const std::vector<float> z = gaussian(columns, 5, 2, 0);
    const Tensor row = Tensor::of(z.data(), {1, columns});
    std::vector<float> narrow = {0, 0x1p-149f, 0x1p-24f, 0.25f, 0.5f, 1 - 0x1p-24f};
    for (int k = 0; k < 100; ++k) narrow.push_back(static_cast<float>(uniform(1, 0, 7u + k)));
    const std::vector<double> wide(narrow.begin(), narrow.end());
    const auto n = static_cast<std::int64_t>(narrow.size());
    const Draws d = draws_of(row, {}, {.u = Tensor::of(narrow.data(), {1, n}), .draws = n});
    EXPECT_EQ(d.token, tokens_at(row, wide, 1));
    const std::vector<double> cdf = cdf_of(z, 1);
    for (std::size_t k = 0; k < wide.size(); ++k)
      EXPECT_TRUE(is_token_of(cdf, wide[k], d.token[k])) << wide[k];
  }
}

// At this T, fl(log2(e)/T) is 1: integer logits are exponents of two, and every step of a cdf whose
// weights add up to a power of two is exact.
constexpr float kBaseTwo = 0x1.715476p+0f;

// Probabilities that are powers of two and add up to 1: a random split of the columns into halves,
// the mass of one half on the other's side as often as not.
void split(std::vector<float>& z, std::size_t begin, std::size_t end, int exponent,
           std::mt19937& random) {
  if (end - begin == 1 || exponent == -40) {
    z[begin + random() % (end - begin)] = static_cast<float>(exponent);
    return;
  }
  const std::size_t middle = begin + 1 + random() % (end - begin - 1);
  split(z, begin, middle, exponent - 1, random);
  split(z, middle, end, exponent - 1, random);
}

// Each step, and the numbers of 53 bits just below and above it.
void expect_exact_steps(const std::vector<float>& z, DType dtype, const Context& context) {
  Matrix logits(1, static_cast<std::int64_t>(z.size()), dtype);
  logits.set_row(0, z);
  std::vector<double> u;
  std::vector<std::int64_t> wanted;
  double below = 0;
  std::int64_t before = -1;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (z[i] == -kInf) continue;
    const auto token = static_cast<std::int64_t>(i);
    if (before >= 0) {
      u.push_back(below - 0x1p-53);
      wanted.push_back(before);
    }
    u.push_back(below);
    wanted.push_back(token);
    u.push_back(below + 0x1p-53);
    wanted.push_back(token);
    below += std::exp2(static_cast<double>(z[i]));
    before = token;
  }
  ASSERT_EQ(below, 1);
  EXPECT_EQ(tokens_at(logits.tensor(), u, kBaseTwo, context), wanted);
}

TEST(Uniform, StepsOfPowersOfTwoAreExact) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Context& context : fast_contexts()) {
      // 1/2, 1/4, … with the rest on the last.
      for (const std::size_t columns : {2u, 3u, 10u, 30u}) {
        std::vector<float> z(columns);
        for (std::size_t i = 0; i < columns; ++i) z[i] = -static_cast<float>(i + 1);
        z.back() += 1;
        expect_exact_steps(z, dtype, context);
      }
      // The same spread over tiles.
      std::vector<float> wide(131075, -kInf);
      for (std::size_t i = 0; i < 20; ++i) wide[i * 6400 + 77] = -static_cast<float>(i + 1);
      wide.back() = -20;
      expect_exact_steps(wide, dtype, context);
      // All alike, to the end of tiles.
      for (const int log_columns : {0, 6, 10, 12, 14})
        expect_exact_steps(
            std::vector<float>(std::size_t{1} << log_columns, -static_cast<float>(log_columns)),
            dtype, context);
      // Within one tile any split is exact: its weights add up to 1 there.
      for (std::uint32_t seed = 0; seed < 20; ++seed) {
        std::mt19937 random(seed);
        std::vector<float> z(2 + random() % 4095, -kInf);
        split(z, 0, z.size(), 0, random);
        SCOPED_TRACE("seed " + std::to_string(seed));
        expect_exact_steps(z, dtype, context);
      }
    }
}

// The last u below a step between tiles: so near the end of the first tile's mass that the share of
// it rounds to 1 in f64 (for one count in four), and must not become a column behind the last.
TEST(Uniform, LastOfATileIsNotBehindIt) {
  const std::int64_t behind = 1500;  // columns of the second tile
  for (const Context& context : fast_contexts())
    for (std::int64_t masked = 0; masked < 2000; masked += 61) {
      std::vector<float> z(8192, -kInf);
      std::fill(z.begin() + 50, z.begin() + 4096 - masked, 0.0f);
      std::fill(z.begin() + 5000, z.begin() + 5000 + behind, 0.0f);
      const auto live = static_cast<std::uint64_t>(4096 - masked - 50);
      // ⌈live/(live + behind)·2^53⌉
      const std::uint64_t all = live + static_cast<std::uint64_t>(behind);
      const std::uint64_t step = static_cast<std::uint64_t>(
          ((static_cast<unsigned __int128>(live) << 53) + all - 1) / all);
      const std::vector<double> u = {static_cast<double>(step - 1) * 0x1p-53,
                                     static_cast<double>(step) * 0x1p-53};
      EXPECT_EQ(tokens_at(Tensor::of(z.data(), {1, 8192}), u, kBaseTwo, context),
                (std::vector<std::int64_t>{4095 - masked, 5000}))
          << masked << " masked";
    }
}

// A fine grid and the 53-bit neighbours of the cdf's steps: tokens rise with u, and are the exact
// ones but within 2^-22 of a step.
TEST(Uniform, TokensRiseAndAreThoseOfTheCdf) {
  const auto cases = healthy_rows();
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t columns : {3, 1000, 4096, 4097, 20000}) {
      Batch batch(cases, columns, dtype, 31);
      for (std::size_t i = 0; i < cases.size(); ++i) {
        SCOPED_TRACE(cases[i].name + " V=" + std::to_string(columns));
        const std::vector<double> cdf = cdf_of(batch.values[i], 0.9f);
        std::vector<double> u;
        for (int k = 0; k < 1000; ++k) u.push_back(k * 0.001);
        for (std::size_t k = 0; k < cdf.size(); k += 1 + cdf.size() / 300)
          for (const double step : {-0x1p-20, -0x1p-53, 0.0, 0x1p-53, 0x1p-20})
            u.push_back(std::clamp(cdf[k] + step, 0.0, kBelowOne));
        std::sort(u.begin(), u.end());
        const Tensor row = batch.logits.row(static_cast<std::int64_t>(i));
        const std::vector<std::int64_t> tokens = tokens_at(row, u, 0.9f);
        EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
        for (std::size_t k = 0; k < u.size(); ++k)
          ASSERT_TRUE(is_token_of(cdf, u[k], tokens[k])) << "u " << u[k] << " gave " << tokens[k];
        for (std::size_t k = 0; k < u.size(); k += 211)
          EXPECT_EQ(tokens_at(row, {u[k]}, 0.9f)[0], tokens[k]) << "alone";
      }
    }
}

// Outside [0, 1) by as little as can be, of either type.
// Where no entropy is asked for, several draws look at no more of a tile than they must
// (cpu/spread.hpp): the same tokens, also within rounding of the cdf's steps.
TEST(Uniform, DrawsThatLookAtPartsOfATile) {
  std::mt19937 random(11);
  for (const std::int64_t columns : {1024, 3072, 4096, 5000, 9216, 20000, 131075})
    for (const char* kind : {"gaussian", "wide", "masked", "far", "one far chunk", "flat"}) {
      const std::string name = kind;
      for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        std::vector<float> z = gaussian(columns, 6, 2, 0);
        for (std::size_t i = 0; i < z.size(); ++i) {
          if (name == "wide") z[i] *= 12;
          if (name == "masked" && (i / 1500 % 2 || i % 3 == 0)) z[i] = -kInf;
          if (name == "far") z[i] += dtype == DType::f16 ? 6e4f : 1e7f;
          if (name == "one far chunk" && i >= 1024 && i < 2048) z[i] = -1e30f;
          if (name == "flat") z[i] = 0.5f;
          z[i] = rounded_to(z[i], dtype);
        }
        Matrix m(1, columns, dtype);
        m.set_row(0, z);
        for (const float t : {1.0f, 0.3f}) {
          const std::vector<double> cdf = cdf_of(z, static_cast<double>(t));
          std::vector<double> u = {0.0, kBelowOne};
          for (int k = 0; k < 100; ++k) {
            u.push_back(uniform(5, 0, static_cast<std::uint32_t>(k)));
            const double step = cdf[random() % cdf.size()];
            for (const double off : {0.0, -0x1p-53, 0x1p-53, -1e-9, 1e-9, -1e-7, 1e-7})
              u.push_back(std::clamp(step + off, 0.0, kBelowOne));
          }
          const auto n = static_cast<std::int64_t>(u.size());
          for (const Context& context : fast_contexts()) {
            const SampleArgs args{.temperature = t, .u = Tensor::of(u.data(), {1, n}), .draws = n};
            const Draws whole = draws_of(m.tensor(), context, args);
            Draws parts(1, n);
            SampleArgs plain = args;
            plain.logits = m.tensor();
            plain.token = Tensor::of(parts.token.data(), {1, n});
            plain.logprob = Tensor::of(parts.logprob.data(), {1, n});
            must(on::sample(plain, context));
            EXPECT_EQ(parts.token, whole.token) << name << " V=" << columns << " T=" << t << " "
                                                << to_string(dtype) << " " << name_of(context);
            EXPECT_TRUE(same_elements(parts.logprob, 0, whole.logprob, 0, u.size()));
          }
          if (HasFailure()) return;
        }
      }
    }
}

TEST(Uniform, OutsideIsABadParameter) {
  const float z[] = {0, 1, 2};
  const Tensor row = Tensor::of(z, {1, 3});
  const auto status_of = [&](const Tensor& u) {
    const Draws d = draws_of(row, {}, {.u = u});
    EXPECT_EQ(d.token[0] == -1, d.status[0] != 0);
    return static_cast<RowStatus>(d.status[0]);
  };
  for (const double bad : {-0x1p-1074, 1.0, static_cast<double>(kNaN)})
    EXPECT_EQ(status_of(Tensor::of(&bad, {1, 1})), RowStatus::bad_parameter) << bad;
  for (const float bad : {-0x1p-149f, 1.0f, kNaN})
    EXPECT_EQ(status_of(Tensor::of(&bad, {1, 1})), RowStatus::bad_parameter) << bad;
  for (const double good : {-0.0, 0x1p-1074, kBelowOne})
    EXPECT_EQ(status_of(Tensor::of(&good, {1, 1})), RowStatus::ok) << good;
}

}  // namespace
}  // namespace logsum::test
