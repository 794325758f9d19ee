// SPDX-License-Identifier: Apache-2.0
// Whether counts could have come from a distribution: G-test and Poisson bounds. Seeds are fixed,
// so a test passes always or never; the false-alarm probability is that of picking a bad seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace logsum::test {

// Sanitizers look for other faults than bias, and are slow: statistics get by with fewer draws.
inline bool is_quick() { return std::getenv("LOGSUM_QUICK") != nullptr; }
inline std::int64_t statistical_size(std::int64_t full) { return is_quick() ? full / 100 : full; }

// A normal deviate is beyond ±kSigmas once in a million.
inline constexpr double kSigmas = 4.892;

// The chi-square quantile at a normal deviate (Wilson and Hilferty 1931).
inline double chi_square_quantile(double df, double sigmas) {
  const double v = 2 / (9 * df);
  const double root = std::max(0.0, 1 - v + sigmas * std::sqrt(v));
  return df * root * root * root;
}

struct GTest {
  double g = 0;  // 2 Σ O ln(O/E), over Williams' correction
  double df = 0;
  // Too close a fit is as suspicious as none: draws that avoid one another aren't independent.
  bool holds() const {
    return g <= chi_square_quantile(df, kSigmas) && g >= chi_square_quantile(df, -kSigmas);
  }
};

// Neighbours are merged until a cell expects kMinExpected: with 5, the usual minimum, G's own bias
// (1/6E of each cell) over 1e5 cells exceeds its spread; Williams' correction takes out most of it.
inline GTest g_test(const std::vector<std::uint32_t>& counts, const std::vector<double>& p) {
  constexpr double kMinExpected = 25;
  double total = 0;
  for (const std::uint32_t count : counts) total += count;
  std::vector<double> observed = {0}, expected = {0};
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (expected.back() >= kMinExpected) {
      observed.push_back(0);
      expected.push_back(0);
    }
    observed.back() += counts[i];
    expected.back() += p[i] * total;
  }
  if (expected.size() > 1 && expected.back() < kMinExpected) {
    observed[observed.size() - 2] += observed.back();
    expected[expected.size() - 2] += expected.back();
    observed.pop_back();
    expected.pop_back();
  }
  GTest result;
  result.df = static_cast<double>(observed.size()) - 1;
  double inverse_p = 0;
  for (std::size_t i = 0; i < observed.size(); ++i) {
    if (observed[i] > 0) result.g += 2 * observed[i] * std::log(observed[i] / expected[i]);
    inverse_p += total / expected[i];
  }
  result.g /= 1 + (inverse_p - 1) / (6 * total * result.df);
  return result;
}

inline ::testing::AssertionResult fits(const std::vector<std::uint32_t>& counts,
                                       const std::vector<double>& p) {
  const GTest test = g_test(counts, p);
  if (test.df < 1) return ::testing::AssertionFailure() << "one cell only: the test could not fail";
  if (test.holds()) return ::testing::AssertionSuccess() << "G " << test.g << " df " << test.df;
  return ::testing::AssertionFailure()
         << "G is " << test.g << " with " << test.df << " degrees of freedom";
}

// P(X ≥ k) for a Poisson X.
inline double poisson_above(double mean, std::int64_t k) {
  double sum = 0;
  for (std::int64_t i = k; i < k + 200; ++i) {
    const auto x = static_cast<double>(i);
    sum += std::exp(x * std::log(mean) - mean - std::lgamma(x + 1));
  }
  return sum;
}

}  // namespace logsum::test
