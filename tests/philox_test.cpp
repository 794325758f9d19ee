// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 against Random123's published vectors and its header, and the uniform recomputed
// by hand as docs/design/rng.md says.
#include <gtest/gtest.h>

#include <random>

#include "logsum/rng.hpp"
#include "logsum/sample.hpp"

#if __has_include(<Random123/philox.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <Random123/philox.h>
#pragma GCC diagnostic pop
#endif

namespace logsum::test {
namespace {

using Counter = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

// Random123 1.14, tests/kat_vectors: "philox4x32 10" counter, key, result.
TEST(Philox, PublishedVectors) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsConstantEvaluated) {
  static_assert(philox4x32_10({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
  static_assert(uniform_bits(0, 0, 0, RngStream::sample) ==
                ((std::uint64_t{0x6627e8d5} << 32 | 0xe169c58d) >> 11));
}

#if __has_include(<Random123/philox.h>)
TEST(Philox, Random123OnRandomInputs) {
  std::mt19937 random(7);
  const auto word = [&random] { return static_cast<std::uint32_t>(random()); };
  r123::Philox4x32_R<10> theirs;
  for (int i = 0; i < 1000000; ++i) {
    const Counter c{word(), word(), word(), word()};
    const Key k{word(), word()};
    const auto expected = theirs({{c[0], c[1], c[2], c[3]}}, {{k[0], k[1]}});
    const Counter got = philox4x32_10(c, k);
    for (std::size_t w = 0; w < 4; ++w) ASSERT_EQ(got[w], expected[w]) << "input " << i;
  }
}

// key = seed, counter = (offset, draw, stream), 53 bits of the first two words: by Random123.
TEST(Philox, UniformBitsByHand) {
  std::mt19937_64 random(8);
  r123::Philox4x32_R<10> philox;
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t seed = random(), offset = random();
    const auto draw = static_cast<std::uint32_t>(random());
    const auto stream = static_cast<std::uint32_t>(random() % 3);
    const auto w = philox(
        {{static_cast<std::uint32_t>(offset & 0xffffffffu),
          static_cast<std::uint32_t>(offset >> 32), draw, stream}},
        {{static_cast<std::uint32_t>(seed & 0xffffffffu), static_cast<std::uint32_t>(seed >> 32)}});

    const std::uint64_t top = std::uint64_t{w[0]} * 2097152u + w[1] / 2048u;
    const std::uint64_t got = uniform_bits(seed, offset, draw, static_cast<RngStream>(stream));
    ASSERT_EQ(got, top);

    ASSERT_LT(got, std::uint64_t{1} << 53);
  }
}
#endif

// Each part of seed, offset, draw and stream reaches the result: neighbours in any of them differ.
TEST(Philox, EveryInputBitCounts) {
  const std::uint64_t base = uniform_bits(0, 0, 0, RngStream::sample);
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(uniform_bits(std::uint64_t{1} << bit, 0, 0, RngStream::sample), base);
    EXPECT_NE(uniform_bits(0, std::uint64_t{1} << bit, 0, RngStream::sample), base);
    EXPECT_NE(uniform_bits(std::uint64_t{1} << bit, 0, 0, RngStream::sample),
              uniform_bits(0, std::uint64_t{1} << bit, 0, RngStream::sample));
    if (bit < 32) {
      EXPECT_NE(uniform_bits(0, 0, std::uint32_t{1} << bit, RngStream::sample), base);
      EXPECT_NE(uniform_bits(0, 0, 0, static_cast<RngStream>(std::uint32_t{1} << bit)), base);
    }
  }
}

}  // namespace
}  // namespace logsum::test
