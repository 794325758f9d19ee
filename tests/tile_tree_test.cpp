// SPDX-License-Identifier: Apache-2.0
// The library against support/tile_tree.hpp, a second implementation from the design pages alone:
// tile records, row results and drawn tokens, to the bit, on every SIMD target.
#include "support/tile_tree.hpp"

#include <gtest/gtest.h>

#include "core/measure.hpp"
#include "logsum/measure.hpp"
#include "logsum/rng.hpp"
#include "support/outputs.hpp"

namespace logsum::test {
namespace {

// Rows made to break the rounding: random bits, and t = z·c at and beside the middle between two
// integers.
std::vector<RowCase> hostile_rows() {
  using Row = std::vector<float>;
  const auto bits = [](auto n, auto s, std::uint32_t keep, std::uint32_t set) {
    std::mt19937 random(s);
    Row z(static_cast<std::size_t>(n));
    for (float& x : z) {
      x = std::bit_cast<float>((static_cast<std::uint32_t>(random()) & keep) | set);
      if (std::isnan(x) || x == kInf) x = -kInf;
    }
    return z;
  };
  return {
      {"any_bits", [bits](auto n, auto s) { return bits(n, s, 0xffffffffu, 0); }},
      {"negative_bits", [bits](auto n, auto s) { return bits(n, s, 0xffffffffu, 0x80000000u); }},
      {"near_one_bits", [bits](auto n, auto s) { return bits(n, s, 0x83ffffffu, 0x3c000000u); }},
      {"subnormal_bits", [bits](auto n, auto s) { return bits(n, s, 0x807fffffu, 0); }},
      {"half_integers_of_t",
       [](auto n, auto s) {
         std::mt19937 random(s);
         Row z(static_cast<std::size_t>(n));
         for (float& x : z) {
           x = static_cast<float>((static_cast<double>(random() % 120) - 59.5) /
                                  1.4426950216293335);
           const auto step = static_cast<std::int32_t>(random() % 3) - 1;
           x = std::bit_cast<float>(std::bit_cast<std::int32_t>(x) + step);
         }
         return z;
       }},
      {"exact_half_integers",  // at T where c is a power of two, z = k + ½ makes ties
       [](auto n, auto s) {
         std::mt19937 random(s);
         Row z(static_cast<std::size_t>(n));
         for (float& x : z) x = static_cast<float>(random() % 140) - 70.5f;
         return z;
       }},
      {"drops_of_52_and_53",  // chunks at the edge of what a tile keeps
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 0.7f, 0), [s](float x, auto i) {
           const std::int64_t chunk = i / 1024;
           return x + static_cast<float>((chunk * 7 + s) % 5) * 36.4f;
         });
       }},
      {"one_above_chunks_at_the_drop",  // 51, 52 and 53 binades down, seen in the moment alone
       [](auto n, auto) {
         return mapped(Row(static_cast<std::size_t>(n)), [](float, auto i) {
           const std::int64_t chunk = i / 1024 % 4;
           return chunk > 0 ? -50.0f - static_cast<float>(chunk) : i % 4096 == 0 ? 0.0f : -kInf;
         });
       }},
      {"at_the_floor",  // 64 binades below the maximum: clamped or not
       [](auto n, auto s) {
         std::mt19937 random(s);
         Row z(static_cast<std::size_t>(n));
         for (float& x : z) x = -44.4f + static_cast<float>(random() % 1000) * 1e-4f;
         z[s % static_cast<std::size_t>(n)] = 0;
         return z;
       }},
      {"around_the_far_border",  // |N| about 2^21
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 20, 0), [](float x, auto i) {
           return x + (i / 1024 % 2 ? 1453635.0f : -1453630.f);
         });
       }},
      {"zeros_of_both_signs",
       [](auto n, auto s) {
         std::mt19937 random(s);
         Row z(static_cast<std::size_t>(n));
         for (float& x : z) x = random() % 3 ? -1.0f : random() % 2 ? 0.0f : -0.0f;
         return z;
       }},
      {"one_negative_zero",
       [](auto n, auto s) {
         Row z(static_cast<std::size_t>(n), -kInf);
         z[s % static_cast<std::size_t>(n)] = -0.0f;
         return z;
       }},
      {"spread_of_magnitudes",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 1, 0), [](float x, auto i) {
           return std::ldexp(x, static_cast<int>(i * 37 % 60) - 30);
         });
       }},
  };
}

std::vector<RowCase> all_rows() {
  std::vector<RowCase> cases = healthy_rows();
  for (RowCase& hostile : hostile_rows()) cases.push_back(std::move(hostile));
  return cases;
}

// c is a power of two at the second: 1.44269502162933349609375 = fl(log2 e).
const float kTemperatures[] = {1.0f, 1.4426950216293335f, 0.3f, 2.7f, 0x1p-64f, 1e-6f, 0x1p64f};

std::vector<TileRecord> records_of(const Tensor& logits, float t, const Context& context) {
  const std::int64_t tiles = (logits.dim(-1) + kTileColumns - 1) / kTileColumns;
  std::vector<TileRecord> records(static_cast<std::size_t>(logits.shape[0] * tiles));
  must(on::measure({.logits = logits,
                    .records = Tensor::of(reinterpret_cast<std::uint8_t*>(records.data()),
                                          {logits.shape[0], tiles, sizeof(TileRecord)}),
                    .temperature = t},
                   context));
  return records;
}

void expect_record(const TileRecord& got, const tile_tree::Tile& wanted) {
  EXPECT_TRUE(same_bits(got.max, wanted.max)) << got.max << " for " << wanted.max;
  if (wanted.poisoned) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(got.sum), 0x7fc00000u);
    EXPECT_EQ(got.n, 0);
    EXPECT_TRUE(same_bits(got.moment, 0));
    return;
  }
  EXPECT_TRUE(same_bits(got.sum, wanted.sum)) << got.sum << " for " << wanted.sum;
  if (!wanted.live) return;
  EXPECT_EQ(got.n, wanted.n);
  EXPECT_TRUE(same_bits(got.moment, wanted.moment)) << got.moment << " for " << wanted.moment;
}

TEST(TileTree, RecordsAreThePages) {
  const auto cases = all_rows();
  for (const std::int64_t columns : {1, 5, 255, 257, 1024, 1500, 3072, 4096, 4097, 9000}) {
    for (std::uint32_t seed : {1u, 900u}) {
      Batch batch(cases, columns, DType::f32, seed);
      for (const float t : kTemperatures) {
        std::vector<std::vector<tile_tree::Tile>> wanted;
        for (const auto& z : batch.values) wanted.push_back(tile_tree::Row(z, t).tiles);
        for (const Context& context : fast_contexts()) {
          const auto records = records_of(batch.tensor(), t, context);
          for (std::size_t i = 0; i < records.size(); ++i) {
            const std::size_t tiles = wanted[0].size();
            SCOPED_TRACE(cases[i / tiles].name + " V=" + std::to_string(columns) +
                         " T=" + std::to_string(t) + " tile " + std::to_string(i % tiles) + " " +
                         name_of(context));
            expect_record(records[i], wanted[i / tiles][i % tiles]);
          }
          if (HasFailure()) return;
        }
      }
    }
  }
}

// The polynomial alone: rows of one column, whose records hold their weight. At this T, t is z. The
// last bit of its first coefficient shows once in 25000 weights, and only near ±½.
TEST(TileTree, WeightsAreThePages) {
  constexpr std::int64_t kRows = 1 << 16;
  std::mt19937 random(7);
  std::uniform_real_distribution<float> fraction(0.45f, 0.5f);
  std::vector<float> z(kRows);
  for (float& x : z) x = random() % 2 ? fraction(random) : -fraction(random);
  for (const Context& context : fast_contexts()) {
    const auto records = records_of(Tensor::of(z.data(), {kRows, 1}), kTemperatures[1], context);
    for (std::size_t i = 0; i < z.size(); ++i)
      ASSERT_TRUE(same_bits(records[i].sum, tile_tree::poly(z[i]))) << z[i];
  }
}

// The logarithm alone, also where its series is longest, at √2 and ½·√2 of a power of two. In a
// row's lse its last bits are seen only where lse is near 0.
TEST(TileTree, LogarithmIsThePages) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 200000; ++i) {
    const double fraction = static_cast<double>(random() >> 11) * 0x1p-53;
    const double near_sqrt2 = 0x1.6a09e667f3bcdp0 * (1 + (fraction - 0.5) * 0x1p-6);
    const double x = std::ldexp(i % 2 ? 1 + fraction : near_sqrt2, i % 32);
    const double got = portable_log(x);
    EXPECT_EQ(got, tile_tree::ln(x)) << x;
    const long double truth = std::log(static_cast<long double>(x));
    ASSERT_LE(std::fabs(got - truth), 1e-15L * truth) << x;
  }
  EXPECT_EQ(portable_log(1), 0);
}

TEST(TileTree, PoisonedTilesHaveANanSum) {
  for (const SickRow& sick : sick_rows()) {
    for (const std::int64_t columns : {3, 1025, 5000}) {
      Matrix z(1, columns, DType::f32);
      std::vector<float> row = gaussian(columns, 4, 2, 0);
      sick.infect(row);
      z.set_row(0, row);
      for (const Context& context : fast_contexts()) {
        const auto records = records_of(z.tensor(), 1, context);
        for (std::size_t i = 0; i < records.size(); ++i) {
          SCOPED_TRACE(sick.name + " V=" + std::to_string(columns) + " " + name_of(context));
          const auto begin = i * static_cast<std::size_t>(kTileColumns);
          expect_record(records[i], tile_tree::tile_of(row.data() + begin,
                                                       static_cast<int>(std::min<std::size_t>(
                                                           row.size() - begin, kTileColumns)),
                                                       tile_tree::Scale(1)));
        }
      }
    }
  }
}

TEST(TileTree, RowResultsAreThePages) {
  const auto cases = all_rows();
  for (const std::int64_t columns : {1, 2, 300, 4096, 4097, 12000, 33000}) {
    Batch batch(cases, columns, DType::f32, 17);
    const auto targets = spread_targets(batch.rows(), columns);
    for (const float t : kTemperatures) {
      const Scores got = scores_of(batch.tensor(), targets, {}, {.temperature = t});
      for (std::size_t i = 0; i < batch.values.size(); ++i) {
        const tile_tree::Row wanted(batch.values[i], t);
        SCOPED_TRACE(cases[i].name + " V=" + std::to_string(columns) + " T=" + std::to_string(t));
        if (got.status[i] != 0) {  // any_bits of one column
          EXPECT_EQ(wanted.max, -kInf);
          continue;
        }
        EXPECT_TRUE(same_bits(got.lse[i], wanted.lse)) << got.lse[i] << " for " << wanted.lse;
        EXPECT_TRUE(same_bits(got.entropy[i], wanted.entropy))
            << got.entropy[i] << " for " << wanted.entropy;
        const float logprob = wanted.logprob(static_cast<std::size_t>(targets[i]));
        EXPECT_TRUE(same_bits(got.logprobs[i], logprob)) << got.logprobs[i] << " for " << logprob;
      }
      if (HasFailure()) return;
    }
  }
}

TEST(TileTree, DrawnTokensAreThePages) {
  const auto cases = all_rows();
  constexpr std::int64_t kDraws = 40;
  for (const std::int64_t columns : {1, 2, 300, 4096, 4097, 12000}) {
    Batch batch(cases, columns, DType::f32, 23);
    for (const float t : {1.0f, 1.4426950216293335f, 0.3f, 1e-6f, 50.0f}) {
      const std::uint64_t seed = 0x123456789abcdef0u + static_cast<std::uint64_t>(columns);
      const Draws got =
          draws_of(batch.tensor(), {}, {.temperature = t, .seed = seed, .draws = kDraws});
      for (std::size_t i = 0; i < batch.values.size(); ++i) {
        if (got.status[i] != 0) continue;
        const tile_tree::Row wanted(batch.values[i], t);
        for (std::size_t k = 0; k < kDraws; ++k)
          EXPECT_EQ(
              got.token[i * kDraws + k],
              wanted.draw(uniform_bits(seed, 0, static_cast<std::uint32_t>(k), RngStream::sample)))
              << cases[i].name << " V=" << columns << " T=" << t << " draw " << k;
      }
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace logsum::test
