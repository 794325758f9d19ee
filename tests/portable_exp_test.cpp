// SPDX-License-Identifier: Apache-2.0
// portable_exp against the host's long double exponential: all of f64's range, and its ends.
#include "core/portable_exp.hpp"

#include <gtest/gtest.h>

#include <random>

namespace logsum::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_close(double x) {
  const long double truth = std::exp(static_cast<long double>(x));
  const double got = portable_exp(x);
  ASSERT_LE(std::fabs(static_cast<long double>(got) - truth), 1e-15L * truth + 0x1p-1074L) << x;
}

TEST(PortableExp, IsRightToARelativeError) {
  std::mt19937_64 random(1);
  for (const double range : {1e-300, 1e-17, 1e-8, 0.34, 0.36, 1.0, 20.0, 709.7, 745.0})
    for (int i = 0; i < 20000; ++i)
      expect_close(std::uniform_real_distribution<double>(-range, std::min(range, 709.7))(random));
  // Around every multiple of ½·ln 2, where another power of two takes over.
  for (int k = -2148; k <= 2046; ++k)
    for (const double beside : {-1e-10, -1e-15, 0.0, 1e-15, 1e-10})
      expect_close(k * 0.5 * kLn2 * (1 + beside));
}

TEST(PortableExp, EndsAreExact) {
  for (const double zero : {0.0, -0.0, 5e-324, -5e-324, 1e-17, -1e-17})
    EXPECT_EQ(portable_exp(zero), 1.0) << zero;
  EXPECT_EQ(portable_exp(kInfinity), kInfinity);
  EXPECT_EQ(portable_exp(1e300), kInfinity);
  EXPECT_EQ(portable_exp(709.783), kInfinity);
  EXPECT_LT(portable_exp(709.782), kInfinity);
  EXPECT_EQ(portable_exp(-745.13), 5e-324);
  EXPECT_EQ(portable_exp(-745.14), 0.0);
  EXPECT_EQ(portable_exp(-1e300), 0.0);
  EXPECT_EQ(portable_exp(-kInfinity), 0.0);
  EXPECT_TRUE(std::isnan(portable_exp(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_GT(portable_exp(1e-15), 1.0);
  EXPECT_LT(portable_exp(-1e-15), 1.0);
}

}  // namespace
}  // namespace logsum::test
