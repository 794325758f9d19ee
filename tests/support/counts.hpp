// SPDX-License-Identifier: Apache-2.0
// How often each token was drawn, against its probability; and a row whose tail is hard to draw
// from.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/rows.hpp"
#include "support/statistics.hpp"

namespace logsum::test {

using Counts = std::vector<std::uint32_t>;

inline void expect_fit(const Counts& counts, const std::vector<double>& p) {
  EXPECT_TRUE(fits(counts, p));
  for (std::size_t i = 0; i < p.size(); ++i)
    EXPECT_TRUE(p[i] > 0 || counts[i] == 0) << "column " << i << " is masked";
}

// Five tiles, each with masked columns, tail tokens of 1e-8 and tokens between 1e-3 and 1e-6; most
// of the mass on one column in the middle.
inline constexpr double kTail = 1e-8;
inline bool is_tail(std::int64_t column) {
  return column != 9000 && column % 20 != 3 && column % 20 != 7;
}
inline std::vector<float> peaked_row() {
  return mapped(std::vector<float>(20000), [](float, std::int64_t i) {
    if (i == 9000) return 0.0f;
    if (i % 20 == 3) return -kInf;
    return is_tail(i) ? static_cast<float>(std::log(kTail))
                      : -7.0f - static_cast<float>(i) * 3.5e-4f;
  });
}

// In all, and token by token: a sampler that rounds tail tokens away, or gives some the share of
// their neighbours, passes a test of totals.
inline void expect_tail(const Counts& counts, const std::vector<double>& p) {
  double draws = 0, expected = 0, expected_seen = 0, observed = 0, seen = 0, tokens = 0;
  for (const std::uint32_t count : counts) draws += count;
  std::uint32_t most = 0;
  double mean = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!is_tail(static_cast<std::int64_t>(i))) continue;
    mean = p[i] * draws;
    ++tokens;
    expected += mean;
    expected_seen += 1 - std::exp(-mean);
    observed += counts[i];
    seen += counts[i] > 0;
    most = std::max(most, counts[i]);
  }
  EXPECT_NEAR(mean / draws, kTail, kTail / 5);
  EXPECT_NEAR(observed, expected, kSigmas * std::sqrt(expected));
  EXPECT_NEAR(seen, expected_seen, kSigmas * std::sqrt(expected_seen));
  EXPECT_GT(tokens * poisson_above(mean, most), 1e-6)
      << "one tail token drawn " << most << " times";
}

}  // namespace logsum::test
