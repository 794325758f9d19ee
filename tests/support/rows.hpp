// SPDX-License-Identifier: Apache-2.0
// Rows of logits that have broken samplers before, by name, at any width.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "logsum/dtype.hpp"

namespace logsum::test {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct RowCase {
  std::string name;
  std::function<std::vector<float>(std::int64_t columns, std::uint32_t seed)> make;
};

inline std::vector<float> gaussian(std::int64_t columns, std::uint32_t seed, float spread,
                                   float shift) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(shift, spread);
  std::vector<float> z(static_cast<std::size_t>(columns));
  for (float& x : z) x = normal(random);
  return z;
}

// By the million: uniform in [−spread, spread).
inline std::vector<float> many_logits(std::size_t count, std::uint64_t seed, float spread) {
  std::vector<float> z(count);
  for (float& x : z) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    x = spread * (static_cast<float>(seed >> 40) * 0x1p-23f - 1);
  }
  return z;
}

template <class F>
std::vector<float> mapped(std::vector<float> z, F f) {
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = f(z[i], static_cast<std::int64_t>(i));
  return z;
}

// Rows with a distribution: status ok.
inline std::vector<RowCase> healthy_rows() {
  using Row = std::vector<float>;
  return {
      {"random", [](auto n, auto s) { return gaussian(n, s, 2.5f, 0); }},
      {"shifted_up", [](auto n, auto s) { return gaussian(n, s, 2.5f, 60); }},
      {"shifted_down", [](auto n, auto s) { return gaussian(n, s, 2.5f, -90); }},
      {"flat", [](auto n, auto) { return Row(static_cast<std::size_t>(n), -7.53f); }},
      {"normalised_flat",
       [](auto n, auto) {
         return Row(static_cast<std::size_t>(n), -std::log(static_cast<float>(n)));
       }},
      {"peaked",
       [](auto n, auto s) {
         Row z = gaussian(n, s, 1, -10);
         z[s % static_cast<std::size_t>(n)] = 20;
         return z;
       }},
      {"one_hot",
       [](auto n, auto s) {
         Row z(static_cast<std::size_t>(n), -kInf);
         z[s % static_cast<std::size_t>(n)] = 1.25f;
         return z;
       }},
      {"four_finite",
       [](auto n, auto s) {
         Row z(static_cast<std::size_t>(n), -kInf);
         for (std::size_t k = 0; k < 4; ++k)
           z[(s + k * 7919) % static_cast<std::size_t>(n)] = static_cast<float>(k);
         return z;
       }},
      {"mostly_masked",
       [](auto n, auto s) {
         Row z =
             mapped(gaussian(n, s, 3, 1), [](float x, auto i) { return i % 20 == 3 ? x : -kInf; });
         z[0] = 0.5f;
         return z;
       }},
      {"masked_by_lowest_float",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 3, 1), [](float x, auto i) {
           return i % 5 == 0 ? x : std::numeric_limits<float>::lowest();
         });
       }},
      {"hole_of_tiles",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 3, 0),
                       [](float x, auto i) { return i >= 3000 && i < 13000 ? -kInf : x; });
       }},
      {"masked_tail",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 3, 0),
                       [n](float x, auto i) { return i > n / 2 ? -kInf : x; });
       }},
      {"ties",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 1.5f, 0), [](float x, auto) { return std::round(x); });
       }},
      {"ten_thousands", [](auto n, auto s) { return gaussian(n, s, 4000, 0); }},
      {"rising",
       [](auto n, auto) {
         Row z(static_cast<std::size_t>(n));
         return mapped(z, [n](float, auto i) {
           return 200.0f * static_cast<float>(i) / static_cast<float>(n) - 100.0f;
         });
       }},
      {"staircase",  // each chunk a binade-jump above the one before
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 1, 0), [](float x, auto i) {
           return x + 25.0f * static_cast<float>(i / 1024 % 4);
         });
       }},
      {"staircase_down",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 1, 0),
                       [](float x, auto i) { return x - 25.0f * static_cast<float>(i / 1024); });
       }},
      {"subnormal",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 1, 0), [](float x, auto) { return x * 1e-40f; });
       }},
      {"huge",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 1, 0), [](float x, auto) { return x * 5e37f; });
       }},
      {"bimodal",
       [](auto n, auto s) {
         return mapped(gaussian(n, s, 0.5f, 0),
                       [](float x, auto i) { return i % 2 ? x + 12 : x - 12; });
       }},
  };
}

// Rows that have none, with what is wrong.
struct SickRow {
  std::string name;
  std::function<void(std::vector<float>&)> infect;
};

inline std::vector<SickRow> sick_rows() {
  return {
      {"empty", [](auto& z) { std::fill(z.begin(), z.end(), -kInf); }},
      {"nan_first", [](auto& z) { z.front() = kNaN; }},
      {"nan_last", [](auto& z) { z.back() = kNaN; }},
      {"nan_with_payload", [](auto& z) { z[z.size() / 2] = std::bit_cast<float>(0x7fc10001u); }},
      {"nan_negative", [](auto& z) { z[z.size() / 3] = std::bit_cast<float>(0xffc00000u); }},
      {"all_nan", [](auto& z) { std::fill(z.begin(), z.end(), kNaN); }},
      {"nan_in_masked_row",
       [](auto& z) {
         std::fill(z.begin(), z.end(), -kInf);
         z[z.size() / 2] = kNaN;
       }},
      {"pos_inf", [](auto& z) { z[z.size() / 2] = kInf; }},
      {"pos_inf_last", [](auto& z) { z.back() = kInf; }},
      {"pos_inf_and_nan",
       [](auto& z) {
         z.front() = kInf;
         z.back() = kNaN;
       }},
  };
}

// A value as a dtype holds it.
inline float rounded_to(float x, DType dtype) {
  if (dtype == DType::bf16) return static_cast<float>(BFloat16(x));
  if (dtype == DType::f16) return static_cast<float>(Half(x));
  return x;
}

}  // namespace logsum::test
