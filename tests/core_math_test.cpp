// SPDX-License-Identifier: Apache-2.0
// The inside of what is summed and exponentiated in f64: e^x and e^x − x − 1 against long double,
// and the tree that halves a batch against its definition.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/halving_tree.hpp"
#include "core/portable_exp.hpp"

namespace logsum::test {
namespace {

// Arguments of every size up to `most`, both signs, and what lies beside multiples of ln 2 / 2.
std::vector<double> arguments(double most) {
  std::vector<double> all = {0, 0x1p-1074, 0x1p-1022, 0x1p-600};
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> factor(1, 1.02);
  for (double x = 1e-30; x < most; x *= 1 + 0.01 * factor(random)) all.push_back(x);
  for (int i = 0; i < 200000; ++i)
    all.push_back(most * std::generate_canonical<double, 53>(random));
  for (int k = 1; k * 0.34657359027997264 < most; ++k)
    for (const double away : {-1e-9, -1e-15, 0.0, 1e-15, 1e-9})
      all.push_back(k * 0.34657359027997264 + away);
  all.push_back(most);
  for (std::size_t i = all.size(); i-- > 0;) all.push_back(-all[i]);
  return all;
}

// Never falls as x rises, but by what it may err.
TEST(PortableExp, Rises) {
  for (int k = -2000; k < 2000; ++k) {
    double x = 0.34657359027997264 * k / 4;
    for (int i = 0; i < 20; ++i) {
      const double next = std::nextafter(x, 1000.0);
      ASSERT_GE(portable_exp(next), portable_exp(x) * (1 - 0x1p-52)) << x;
      x = next;
    }
  }
}

// The series where the difference cancels, largest term last.
long double difference(long double x) {
  if (std::fabs(x) > 0.5L) return std::expm1(x) - x;
  long double terms[28], term = x * x / 2, sum = 0;
  for (int i = 0; i < 28; ++i) {
    terms[i] = term;
    term *= x / (i + 3);
  }
  for (int i = 28; i-- > 0;) sum += terms[i];
  return sum;
}

TEST(ExpMinusXMinus1, HasRelativeAccuracyAndIsNeverNegative) {
  for (const double x : arguments(708)) {
    const long double truth = difference(x);
    const double got = exp_minus_x_minus_1(x);
    ASSERT_GE(got, 0) << x;
    const bool is_normal = std::fabs(x) > 1e-150;
    ASSERT_TRUE(!is_normal || std::fabs(got - truth) <= 0x1p-46L * truth) << x << ": " << got;
  }
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(exp_minus_x_minus_1(0), 0);
  EXPECT_EQ(exp_minus_x_minus_1(-0.0), 0);
  EXPECT_EQ(exp_minus_x_minus_1(-1e300), 1e300);
  EXPECT_EQ(exp_minus_x_minus_1(-1000), 999);
  EXPECT_LT(exp_minus_x_minus_1(709), kInf);
  EXPECT_EQ(exp_minus_x_minus_1(710), kInf);
  EXPECT_EQ(exp_minus_x_minus_1(kInf), kInf);
  EXPECT_EQ(exp_minus_x_minus_1(-kInf), kInf);
  EXPECT_TRUE(std::isnan(exp_minus_x_minus_1(std::nan(""))));
}

// What is added, and in which order.
struct Term {
  std::string text;
  void add(const Term& other) {
    if (text.empty() || other.text.empty())
      text += other.text;
    else
      text = "(" + text + "+" + other.text + ")";
  }
};
std::string order_of(std::int64_t n) {
  return halving_sum<Term>(n, [](std::int64_t i) { return Term{std::to_string(i)}; }).text;
}

TEST(HalvingTree, AddsInItsOrder) {
  EXPECT_EQ(order_of(0), "");
  EXPECT_EQ(order_of(1), "0");
  EXPECT_EQ(order_of(2), "(0+1)");
  EXPECT_EQ(order_of(3), "(0+(1+2))");
  EXPECT_EQ(order_of(4), "((0+1)+(2+3))");
  EXPECT_EQ(order_of(5), "((0+1)+(2+(3+4)))");
  EXPECT_EQ(order_of(6), "((0+(1+2))+(3+(4+5)))");
}

TEST(HalvingTree, HasEachElementOnceInOrder) {
  for (std::int64_t n = 0; n < 300; ++n) {
    const HalvingTree tree(n);
    EXPECT_TRUE(tree.leaves() < 2 * std::max<std::int64_t>(n, 1) && tree.leaves() >= n);
    std::int64_t next = 0;
    for (std::int64_t leaf = 0; leaf < tree.leaves(); ++leaf) {
      const std::int64_t i = tree.element(leaf);
      ASSERT_TRUE(i == -1 || i == next) << n;
      next += i == next;
    }
    ASSERT_EQ(next, n);
  }
  // Where a product needs 128 bits.
  const std::int64_t n = (std::int64_t{1} << 40) + 12345;
  const HalvingTree tree(n);
  EXPECT_EQ(tree.leaves(), std::int64_t{1} << 41);
  EXPECT_EQ(tree.element(0), -1);
  EXPECT_EQ(tree.element(1), 0);
  EXPECT_EQ(tree.element(tree.leaves() - 1), n - 1);
  const std::int64_t middle = tree.leaves() / 2;
  EXPECT_EQ(std::max(tree.element(middle), tree.element(middle + 1)), n / 2);
}

TEST(HalvingTree, HalvesAddUpToTheWhole) {
  std::mt19937 random(7);
  struct Value {
    double v = 0;
    void add(const Value& other) { v += other.v; }
  };
  for (std::int64_t n = 2; n < 2000; n += 2) {
    std::vector<double> x(static_cast<std::size_t>(n));
    for (double& v : x) v = std::exp(40 * std::generate_canonical<double, 53>(random) - 20);
    const auto sum = [&](std::int64_t first, std::int64_t count) {
      return halving_sum<Value>(count,
                                [&](std::int64_t i) { return Value{x[std::size_t(first + i)]}; })
          .v;
    };
    ASSERT_EQ(sum(0, n / 2) + sum(n / 2, n / 2), sum(0, n)) << n;
  }
}

// Of subtrees of one size as of leaves.
TEST(HalvingTree, SubtreesMayBePushed) {
  for (const std::int64_t n : {3, 8, 13, 100}) {
    const HalvingTree tree(n);
    for (std::int64_t size = 2; size <= tree.leaves(); size *= 2) {
      HalvingSum<Term> all;
      for (std::int64_t first = 0; first < tree.leaves(); first += size) {
        HalvingSum<Term> subtree;
        for (std::int64_t leaf = first; leaf < first + size; ++leaf) {
          const std::int64_t i = tree.element(leaf);
          subtree.push(i < 0 ? Term() : Term{std::to_string(i)});
        }
        all.push(subtree.total());
      }
      EXPECT_EQ(all.total().text, order_of(n)) << size;
    }
  }
}

}  // namespace
}  // namespace logsum::test
