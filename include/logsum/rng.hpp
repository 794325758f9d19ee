// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11):
// a stateless function from (key, counter) to four 32-bit words, and the uniform logsum draws from
// it.
#pragma once

#include <array>
#include <cstdint>

namespace logsum {

constexpr std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                     std::array<std::uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// Separates the random streams of different operations that share a seed and an offset.
enum class RngStream : std::uint32_t { sample = 0 };

// 53 random bits: u = bits · 2^-53 in [0, 1). Key = (seed low, seed high), counter = (offset low,
// offset high, draw, stream); the bits are (word0 · 2^32 + word1) >> 11.
constexpr std::uint64_t uniform_bits(std::uint64_t seed, std::uint64_t offset, std::uint32_t draw,
                                     RngStream stream) noexcept {
  const auto words =
      philox4x32_10({static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(offset >> 32),
                     draw, static_cast<std::uint32_t>(stream)},
                    {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return (std::uint64_t{words[0]} << 32 | words[1]) >> 11;
}

}  // namespace logsum
