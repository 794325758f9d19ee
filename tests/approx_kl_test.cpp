// SPDX-License-Identifier: Apache-2.0
#include "logsum/approx_kl.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "support/layouts.hpp"
#include "support/matrix.hpp"

namespace logsum::test {
namespace {

const Context kReference{.backend = Backend::reference};

struct Kl {
  std::vector<float> k1, k2, k3;
  float mean_k1 = 99, mean_k2 = 99, mean_k3 = 99;
  std::int64_t count = 99, overflow_count = 99;
};

Kl kl_of(std::vector<float> logps, std::vector<float> ref, std::vector<std::uint8_t> mask = {},
         const Context& context = {}) {
  const auto n = static_cast<std::int64_t>(logps.size());
  Kl kl;
  kl.k1.resize(logps.size(), 99);
  kl.k2.resize(logps.size(), 99);
  kl.k3.resize(logps.size(), 99);
  const Status status =
      on::approx_kl({.per_token_logps = Tensor::of(logps.data(), {n}),
                     .ref_per_token_logps = Tensor::of(ref.data(), {n}),
                     .completion_mask = mask.empty() ? Tensor() : Tensor::of(mask.data(), {n}),
                     .k1 = Tensor::of(kl.k1.data(), {n}),
                     .k2 = Tensor::of(kl.k2.data(), {n}),
                     .k3 = Tensor::of(kl.k3.data(), {n}),
                     .mean_k1 = Tensor::of(&kl.mean_k1, {}),
                     .mean_k2 = Tensor::of(&kl.mean_k2, {1}),
                     .mean_k3 = Tensor::of(&kl.mean_k3, {1, 1}),
                     .count = Tensor::of(&kl.count, {}),
                     .overflow_count = Tensor::of(&kl.overflow_count, {})},
                    context);
  EXPECT_TRUE(status.ok()) << status.message();
  return kl;
}

void expect_same_bits(const Kl& a, const Kl& b) {
  for (const auto member : {&Kl::k1, &Kl::k2, &Kl::k3})
    for (std::size_t i = 0; i < a.k1.size(); ++i)
      ASSERT_TRUE(same_bits((a.*member)[i], (b.*member)[i])) << i;
  for (const auto member : {&Kl::mean_k1, &Kl::mean_k2, &Kl::mean_k3})
    EXPECT_TRUE(same_bits(a.*member, b.*member));
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.overflow_count, b.overflow_count);
}

// e^d − d − 1 as a series, in long double: every term of it, largest last.
long double k3_truth(long double d) {
  if (std::fabs(d) > 1) return std::expm1(d) - d;
  long double term = d * d / 2, sum = 0;
  std::vector<long double> terms;
  for (int i = 3; i < 30; ++i, term *= d / (i - 1)) terms.push_back(term);
  for (auto i = terms.rbegin(); i != terms.rend(); ++i) sum += *i;
  return sum;
}

bool is_close(double got, long double truth) {
  if (std::isinf(static_cast<float>(truth)))
    return got == static_cast<double>(truth) || std::isinf(got);
  return std::fabs(got - truth) <= 1e-6L * std::fabs(truth) + 0x1p-149L;
}

// Log-probs whose difference takes every size, both signs, near 0 and near −80.
void every_difference(std::vector<float>& logps, std::vector<float>& ref) {
  for (const float base : {0.0f, -1e-30f, -0.5f, -2.0f, -80.0f})
    for (float size = 1e-38f; size < 1e3f; size *= 1.0173f)
      for (const float sign : {-1.0f, 1.0f}) {
        logps.push_back(base);
        ref.push_back(base + sign * size);
      }
}

TEST(ApproxKl, EveryDifferenceIsRightToARelativeError) {
  std::vector<float> logps, ref;
  every_difference(logps, ref);
  for (const Context& context : {Context(), kReference}) {
    const Kl kl = kl_of(logps, ref, {}, context);
    for (std::size_t i = 0; i < logps.size(); ++i) {
      const long double d = static_cast<long double>(ref[i]) - logps[i];
      ASSERT_TRUE(is_close(kl.k1[i], -d)) << static_cast<double>(d);
      ASSERT_TRUE(is_close(kl.k2[i], d * d / 2)) << static_cast<double>(d);
      ASSERT_TRUE(is_close(kl.k3[i], k3_truth(d))) << static_cast<double>(d) << ": " << kl.k3[i];
      ASSERT_GE(kl.k3[i], 0);
    }
  }
}

TEST(ApproxKl, MeansAreOverUnmaskedTokens) {
  std::vector<float> logps = gaussian(70001, 1, 1, -2), ref = gaussian(70001, 2, 1, -2);
  std::vector<std::uint8_t> mask(logps.size());
  std::mt19937 random(3);
  for (auto& m : mask) m = random() % 3 == 0 ? 0 : static_cast<std::uint8_t>(1 + random() % 255);
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (!mask[i]) logps[i] = i % 2 ? kNaN : -kInf;  // must not be looked at
  long double k1 = 0, k2 = 0, k3 = 0;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (!mask[i]) continue;
    const long double d = static_cast<long double>(ref[i]) - logps[i];
    k1 -= d;
    k2 += d * d / 2;
    k3 += k3_truth(d);
    ++count;
  }
  for (const Context& context : {Context(), kReference}) {
    const Kl kl = kl_of(logps, ref, mask, context);
    EXPECT_EQ(kl.count, count);
    EXPECT_EQ(kl.overflow_count, 0);
    EXPECT_NEAR(kl.mean_k1, double(k1 / count), 1e-7);
    EXPECT_TRUE(is_close(kl.mean_k2, k2 / count));
    EXPECT_TRUE(is_close(kl.mean_k3, k3 / count));
    for (std::size_t i = 0; i < mask.size(); ++i)
      if (!mask[i]) {
        ASSERT_EQ(kl.k1[i], 0);
        ASSERT_EQ(kl.k2[i], 0);
        ASSERT_EQ(kl.k3[i], 0);
      }
  }
  // Without the mask the garbage shows: the mask changes the answer.
  EXPECT_TRUE(std::isnan(kl_of(logps, ref).mean_k1));
  // No tokens: 0, not 0/0.
  const Kl none = kl_of(logps, ref, std::vector<std::uint8_t>(mask.size(), 0));
  EXPECT_EQ(none.mean_k1, 0);
  EXPECT_EQ(none.mean_k2, 0);
  EXPECT_EQ(none.mean_k3, 0);
  EXPECT_EQ(none.count, 0);
}

TEST(ApproxKl, OverflowIsInfinityAndCounted) {
  const float lowest = std::numeric_limits<float>::lowest();
  const std::vector<float> logps = {-88.6f, -88.8f, -700, -2000, lowest, 0, -lowest, -1};
  const std::vector<float> ref = {0, 0, 0, 0, -lowest, lowest, lowest, -2};
  for (const Context& context : {Context(), kReference}) {
    const Kl kl = kl_of(logps, ref, {}, context);
    EXPECT_TRUE(std::isfinite(kl.k3[0]));
    for (const int i : {1, 2, 3, 4}) EXPECT_EQ(kl.k3[std::size_t(i)], kInf);
    EXPECT_EQ(kl.k1[4], -kInf);
    EXPECT_EQ(kl.k1[6], kInf);
    EXPECT_EQ(kl.k2[5], kInf);
    EXPECT_EQ(kl.k3[5], -lowest);
    EXPECT_EQ(kl.k3[6], kInf);  // 6.8e38
    EXPECT_EQ(kl.overflow_count, 5);
    EXPECT_EQ(kl.mean_k1, static_cast<float>((88.6f + 88.8f) / -8 + (-700 - 2000 + 1) / 8.0 -
                                             static_cast<double>(lowest) / 8));
    EXPECT_EQ(kl.mean_k3, kInf);
    for (const auto member : {&Kl::k1, &Kl::k2, &Kl::k3})
      for (const float k : kl.*member) EXPECT_FALSE(std::isnan(k));
  }
  // The mean of values beyond f32 may still be within it.
  std::vector<float> many(1000, -1.0f), many_ref = many;
  many[7] = -89.0f;
  many_ref[7] = 0;
  const Kl kl = kl_of(many, many_ref);
  EXPECT_EQ(kl.k3[7], kInf);
  EXPECT_EQ(kl.overflow_count, 1);
  EXPECT_TRUE(is_close(kl.mean_k3, k3_truth(89) / 1000));
}

TEST(ApproxKl, InfinitiesGiveLimitsAndNanStaysNan) {
  const std::vector<float> logps = {-kInf, -1, -kInf, kNaN, -1, kInf, 0};
  const std::vector<float> ref = {-1, -kInf, -kInf, -1, kNaN, -1, 0};
  for (const Context& context : {Context(), kReference}) {
    const Kl kl = kl_of(logps, ref, {}, context);
    EXPECT_EQ(kl.k1[0], -kInf);
    EXPECT_EQ(kl.k1[1], kInf);
    EXPECT_EQ(kl.k1[5], kInf);
    for (const int i : {0, 1, 5}) {
      EXPECT_EQ(kl.k2[std::size_t(i)], kInf);
      EXPECT_EQ(kl.k3[std::size_t(i)], kInf);
    }
    for (const auto member : {&Kl::k1, &Kl::k2, &Kl::k3}) {
      for (const int i : {2, 3, 4}) EXPECT_TRUE(std::isnan((kl.*member)[std::size_t(i)])) << i;
      EXPECT_EQ((kl.*member)[6], 0);
    }
    EXPECT_EQ(kl.overflow_count, 0);
    EXPECT_EQ(kl.count, 7);
  }
}

TEST(ApproxKl, BitsDependOnNeitherThreadsNorStrides) {
  // Tokens [2, n/2] among others, with every stride there is.
  const std::int64_t n = 30000;
  const std::vector<float> logps = gaussian(n, 1, 1, -2), ref = gaussian(n, 2, 1, -2);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 5 != 1;
  const Kl first = kl_of(logps, ref, mask, {.executor = &inline_executor()});
  BackwardsExecutor seven(7), many(300);
  for (Executor* executor :
       {&default_executor(), static_cast<Executor*>(&seven), static_cast<Executor*>(&many)})
    expect_same_bits(kl_of(logps, ref, mask, {.executor = executor}), first);

  std::vector<float> wide(static_cast<std::size_t>(3 * n)), backwards(ref.rbegin(), ref.rend());
  std::vector<float> k3(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < logps.size(); ++i)
    wide[3 * (i % (n / 2)) * 2 + i / (n / 2)] = logps[i];  // [n/2, 6] of which two columns are used
  float mean = 0;
  const std::int64_t shape[] = {2, n / 2}, strides[] = {1, 6}, back[] = {-n / 2, -1};
  const std::int64_t transposed[] = {1, 2};
  const Status status = on::approx_kl(
      {.per_token_logps = Tensor::strided(wide.data(), DType::f32, shape, strides),
       .ref_per_token_logps = Tensor::strided(backwards.data() + n - 1, DType::f32, shape, back),
       .completion_mask = Tensor::contiguous(mask.data(), DType::boolean, shape),
       .k3 = Tensor::strided(k3.data(), DType::f32, shape, transposed),
       .mean_k3 = Tensor::of(&mean, {})});
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(same_bits(mean, first.mean_k3));
  for (std::size_t i = 0; i < logps.size(); ++i)
    ASSERT_TRUE(same_bits(k3[i % (n / 2) * 2 + i / (n / 2)], first.k3[i]));
}

TEST(ApproxKl, BitsAreTheCpusAtEveryLength) {
  // Whole runs and what is left of one, and more runs than a GPU adds at once.
  for (const std::int64_t n : {1, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097, 70001, 1100000}) {
    const std::vector<float> logps = gaussian(n, 1, 1, -2), ref = gaussian(n, 2, 1, -2);
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 7 != 3;
    const Kl first = kl_of(logps, ref, mask, fast_contexts()[0]);
    for (const Context& context : contract_contexts()) {
      SCOPED_TRACE(std::to_string(n) + " tokens, " + name_of(context));
      expect_same_bits(kl_of(logps, ref, mask, context), first);
      if (HasFatalFailure()) return;
    }
  }
}

// k3 is unbiased for KL(policy ‖ reference), k1 too; k2 isn't.
TEST(ApproxKl, EstimatesTheDivergence) {
  const std::vector<double> p = {0.5, 0.2, 0.2, 0.1}, q = {0.25, 0.25, 0.4, 0.1};
  double kl = 0, k1 = 0, k3 = 0;
  std::vector<float> logps, ref;
  for (std::size_t i = 0; i < p.size(); ++i) {
    logps.push_back(static_cast<float>(std::log(p[i])));
    ref.push_back(static_cast<float>(std::log(q[i])));
    kl += p[i] * std::log(p[i] / q[i]);
  }
  const Kl got = kl_of(logps, ref);
  for (std::size_t i = 0; i < p.size(); ++i) {
    k1 += p[i] * got.k1[i];
    k3 += p[i] * got.k3[i];
  }
  EXPECT_NEAR(k1, kl, 1e-7);
  EXPECT_NEAR(k3, kl, 1e-7);
}

TEST(ApproxKl, UsesTheWorkspaceItAsksFor) {
  std::vector<float> logps = gaussian(9000, 1, 1, -2), ref = gaussian(9000, 2, 1, -2);
  float mean = 0;
  const ApproxKlArgs args{.per_token_logps = Tensor::of(logps.data(), {3, 3000}),
                          .ref_per_token_logps = Tensor::of(ref.data(), {3, 3000}),
                          .mean_k3 = Tensor::of(&mean, {})};
  const std::size_t size = on::approx_kl_workspace_size(args);
  std::vector<std::uint64_t> memory(size / 8 + 1, 0x1234567890abcdef);
  EXPECT_TRUE(on::approx_kl(args, {.workspace = {memory.data(), size}}).ok());
  EXPECT_EQ(memory.back(), 0x1234567890abcdef);
  EXPECT_TRUE(same_bits(mean, kl_of(logps, ref).mean_k3));
  EXPECT_EQ(on::approx_kl(args, {.workspace = {memory.data(), size - 8}}).code(),
            StatusCode::out_of_memory);
}

TEST(ApproxKl, RefusesWhatItCantDo) {
  std::vector<float> a(12), b(12), c(12);
  std::vector<double> wide(12);
  std::vector<std::int32_t> integers(12);
  const Tensor logps = Tensor::of(a.data(), {3, 4}), ref = Tensor::of(b.data(), {3, 4});
  const auto message = [](const ApproxKlArgs& args) {
    return std::string(on::approx_kl(args).message());
  };
  EXPECT_EQ(message({.ref_per_token_logps = ref}), "approx_kl: per_token_logps is missing");
  EXPECT_EQ(message({.per_token_logps = logps}), "approx_kl: ref_per_token_logps is missing");
  EXPECT_EQ(message({.per_token_logps = logps, .ref_per_token_logps = Tensor::of(b.data(), {12})}),
            "approx_kl: ref_per_token_logps has shape [12], must be [3, 4] (per_token_logps is [3, "
            "4])");
  EXPECT_EQ(
      message({.per_token_logps = logps, .ref_per_token_logps = Tensor::of(wide.data(), {3, 4})}),
      "approx_kl: ref_per_token_logps has dtype f64, must be f32");
  EXPECT_EQ(message({.per_token_logps = logps,
                     .ref_per_token_logps = ref,
                     .completion_mask = Tensor::of(integers.data(), {3, 4})}),
            "approx_kl: completion_mask has dtype i32, must be bool or u8");
  EXPECT_EQ(message({.per_token_logps = logps,
                     .ref_per_token_logps = ref,
                     .mean_k1 = Tensor::of(c.data(), {2})}),
            "approx_kl: mean_k1 has shape [2], must have one element");
  EXPECT_EQ(message({.per_token_logps = logps,
                     .ref_per_token_logps = ref,
                     .count = Tensor::of(integers.data(), {})}),
            "approx_kl: count has dtype i32, must be i64");
  EXPECT_EQ(message({.per_token_logps = logps, .ref_per_token_logps = ref, .k3 = logps}),
            "approx_kl: output k3 overlaps input per_token_logps in memory");
  EXPECT_EQ(message({.per_token_logps = logps,
                     .ref_per_token_logps = ref,
                     .k1 = Tensor::of(c.data(), {3, 4}),
                     .k2 = Tensor::of(c.data(), {3, 4})}),
            "approx_kl: outputs k1 and k2 overlap in memory");
}

}  // namespace
}  // namespace logsum::test
