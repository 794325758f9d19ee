// SPDX-License-Identifier: Apache-2.0
// The portable logistic function and logarithms against libm's long double, at both ends too.
#include "core/portable_sigmoid.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace logsum {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// From far below f64's precision to where results leave it.
std::vector<double> magnitudes() {
  std::vector<double> all;
  for (double x = 0x1p-1070; x < 800; x *= x < 1e-20 ? 1e10 : 1.013) all.push_back(x);
  return all;
}

void expect_near(double got, long double truth, double x) {
  const long double slack = 4e-15L * std::fabs(truth) + 0x1p-1074L;
  ASSERT_LE(std::fabs(static_cast<long double>(got) - truth), slack)
      << "at " << x << ": " << got << " for " << static_cast<double>(truth);
}

TEST(PortableSigmoid, KeepsRelativeAccuracyAtBothEnds) {
  for (const double size : magnitudes())
    for (const double x : {size, -size}) {
      const auto exact = static_cast<long double>(x);
      expect_near(sigmoid(x), 1 / (1 + std::exp(-exact)), x);
      const long double rest = std::log1p(std::exp(-std::fabs(exact)));
      expect_near(softplus(x), x > 0 ? exact + rest : rest, x);
      if (x < 700) expect_near(portable_expm1(x), std::expm1(exact), x);
      if (x >= 0 && x <= 1) expect_near(portable_log1p(x), std::log1p(exact), x);
    }
}

TEST(PortableSigmoid, EndsAreExact) {
  EXPECT_EQ(sigmoid(0), 0.5);
  EXPECT_EQ(sigmoid(800), 1);
  EXPECT_EQ(sigmoid(-800), 0);
  EXPECT_EQ(sigmoid(kInf), 1);
  EXPECT_EQ(sigmoid(-kInf), 0);
  EXPECT_EQ(softplus(800), 800);
  EXPECT_EQ(softplus(-800), 0);
  EXPECT_EQ(softplus(kInf), kInf);
  EXPECT_EQ(softplus(-kInf), 0);
  EXPECT_EQ(portable_expm1(0), 0);
  EXPECT_EQ(portable_expm1(-kInf), -1);
  EXPECT_EQ(portable_log1p(0), 0);
}

}  // namespace
}  // namespace logsum
