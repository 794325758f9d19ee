// SPDX-License-Identifier: Apache-2.0
// f16 and bf16 to and from f32: all bit patterns, and rounding to nearest even against an
// implementation by search in the sorted list of all values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "cpu/kernels.hpp"
#include "logsum/dtype.hpp"
#include "logsum/tensor.hpp"

namespace logsum::test {
namespace {

template <class T>
T of_bits(std::uint32_t bits) {
  T value;
  value.bits = static_cast<std::uint16_t>(bits);
  return value;
}

// A format by its definition: sign, exponent, mantissa.
struct Format {
  int exponent_bits, mantissa_bits;

  bool is_nan(std::uint32_t bits) const {
    return exponent(bits) == max_exponent() && mantissa(bits) != 0;
  }
  double value(std::uint32_t bits) const {
    const double sign = bits & 0x8000u ? -1.0 : 1.0;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    if (exponent(bits) == max_exponent()) return sign * HUGE_VAL;
    const double unit = std::ldexp(1.0, -mantissa_bits);
    if (exponent(bits) == 0) return sign * std::ldexp(mantissa(bits) * unit, 1 - bias);
    return sign * std::ldexp(1.0 + mantissa(bits) * unit, exponent(bits) - bias);
  }
  int max_exponent() const { return (1 << exponent_bits) - 1; }
  int exponent(std::uint32_t bits) const {
    return static_cast<int>(bits >> mantissa_bits) & max_exponent();
  }
  int mantissa(std::uint32_t bits) const {
    return static_cast<int>(bits) & ((1 << mantissa_bits) - 1);
  }
};

constexpr Format kF16{5, 10}, kBF16{8, 7};

// The bits nearest to |x|, ties to the even pattern; beyond the largest finite value counts as one
// more step of the grid, which is infinity.
class Rounding {
 public:
  explicit Rounding(const Format& format) : infinity_(0) {
    while (format.exponent(infinity_) < format.max_exponent()) {
      values_.push_back(format.value(infinity_));
      ++infinity_;
    }
    values_.push_back(2 * values_.back() - values_[values_.size() - 2]);
  }
  std::uint32_t nearest(double x) const {
    const double magnitude = std::fabs(x);
    const std::uint32_t sign = std::signbit(x) ? 0x8000u : 0u;
    const auto above = std::lower_bound(values_.begin(), values_.end(), magnitude);
    if (above == values_.end()) return sign | infinity_;
    auto bits = static_cast<std::uint32_t>(above - values_.begin());
    if (*above == magnitude) return sign | bits;
    const double up = *above - magnitude, down = magnitude - *(above - 1);
    if (down < up || (down == up && bits % 2 == 1)) --bits;
    return sign | bits;
  }

 private:
  std::uint32_t infinity_;
  std::vector<double> values_;
};

template <class T>
void expect_all_patterns(const Format& format) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const auto x = static_cast<float>(of_bits<T>(bits));
    if (format.is_nan(bits)) {
      ASSERT_TRUE(std::isnan(x)) << bits;
      const std::uint32_t back = T(x).bits;  // still a NaN, its sign kept, quiet
      ASSERT_TRUE(format.is_nan(back)) << bits;
      ASSERT_EQ(back & 0x8000u, bits & 0x8000u);
      ASSERT_EQ(back, bits | (1u << (format.mantissa_bits - 1))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(x), format.value(bits)) << bits;
    ASSERT_EQ(std::signbit(x), (bits & 0x8000u) != 0) << bits;
    ASSERT_EQ(T(x).bits, bits);
  }
}

TEST(DType, EveryF16IsExactInF32AndComesBack) { expect_all_patterns<Half>(kF16); }
TEST(DType, EveryBF16IsExactInF32AndComesBack) { expect_all_patterns<BFloat16>(kBF16); }

template <class T>
void expect_nearest_even(const Format& format) {
  const Rounding rounding(format);
  const auto check = [&](float x) {
    ASSERT_EQ(T(x).bits, rounding.nearest(x)) << std::hexfloat << x;
    ASSERT_EQ(T(-x).bits, rounding.nearest(-x)) << std::hexfloat << -x;
  };
  // Around each value and around each middle between two of them.
  for (std::uint32_t bits = 0; format.exponent(bits) < format.max_exponent(); ++bits) {
    const double here = format.value(bits), next = format.value(bits + 1);
    const double middle =
        std::isinf(next) ? here + (here - format.value(bits - 1)) / 2 : here + (next - here) / 2;
    for (const double centre : {here, middle}) {
      const auto x = static_cast<float>(centre);  // exact: f32 has the room, also for bf16
      check(x);
      check(std::nextafterf(x, HUGE_VALF));
      if (x > 0) check(std::nextafterf(x, 0.0f));
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 3000000; ++i) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()) & 0x7fffffffu);
    if (!std::isnan(x)) check(x);
  }
  check(HUGE_VALF);
  check(3.4028234e38f);
}

TEST(DType, F32ToF16RoundsToNearestEven) { expect_nearest_even<Half>(kF16); }
TEST(DType, F32ToBF16RoundsToNearestEven) { expect_nearest_even<BFloat16>(kBF16); }

// The SIMD targets' own conversions, on every pattern, at every place of a vector.
TEST(DType, EverySimdTargetLoadsEveryPattern) {
  std::vector<std::uint16_t> all(0x10000 + 16);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  const auto scratch = std::make_unique<cpu::TileScratch>();
  for (const SimdTargetInfo& target : simd_targets()) {
    if (!target.available) continue;
    const cpu::Kernels& kernels = *cpu::kernels_for(target.id);
    for (const DType dtype : {DType::f16, DType::bf16})
      for (std::size_t shift = 0; shift < 3; ++shift)
        for (std::size_t begin = shift; begin < 0x10000; begin += 4096) {
          const cpu::Tile tile = kernels.load(all.data() + begin, dtype, 4096 - 7, *scratch);
          for (int i = 0; i < tile.columns; ++i) {
            const std::uint32_t bits = all[begin + static_cast<std::size_t>(i)];
            const float wanted = dtype == DType::f16 ? static_cast<float>(of_bits<Half>(bits))
                                                     : static_cast<float>(of_bits<BFloat16>(bits));
            if (std::isnan(wanted))
              ASSERT_TRUE(std::isnan(tile.z[i])) << bits;
            else
              ASSERT_EQ(std::bit_cast<std::uint32_t>(tile.z[i]),
                        std::bit_cast<std::uint32_t>(wanted))
                  << target.name << " " << to_string(dtype) << " " << bits;
          }
        }
  }
}

TEST(DType, NanStaysNan) {
  for (std::uint32_t payload = 1; payload < 0x800000u; payload = payload * 3 + 1)
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      const float x = std::bit_cast<float>(sign | 0x7f800000u | payload);
      EXPECT_TRUE(kF16.is_nan(Half(x).bits));
      EXPECT_TRUE(kBF16.is_nan(BFloat16(x).bits));
      EXPECT_EQ(Half(x).bits >> 15, sign >> 31);
      EXPECT_EQ(BFloat16(x).bits >> 15, sign >> 31);
    }
}

TEST(DType, SizesNamesAndTypes) {
  struct Row {
    DType dtype;
    std::size_t size;
    const char* name;
    bool logits;
  };
  for (const Row& row : {Row{DType::f32, 4, "f32", true}, Row{DType::f16, 2, "f16", true},
                         Row{DType::bf16, 2, "bf16", true}, Row{DType::f64, 8, "f64", false},
                         Row{DType::i32, 4, "i32", false}, Row{DType::i64, 8, "i64", false},
                         Row{DType::u8, 1, "u8", false}, Row{DType::boolean, 1, "bool", false}}) {
    EXPECT_EQ(size_of(row.dtype), row.size);
    EXPECT_STREQ(to_string(row.dtype), row.name);
    EXPECT_EQ(is_logits_dtype(row.dtype), row.logits);
  }
  EXPECT_EQ(size_of(static_cast<DType>(99)), 0u);
  EXPECT_STREQ(to_string(static_cast<DType>(99)), "?");
  static_assert(dtype_of<float> == DType::f32 && dtype_of<double> == DType::f64);
  static_assert(dtype_of<Half> == DType::f16 && dtype_of<BFloat16> == DType::bf16);
  static_assert(dtype_of<std::int32_t> == DType::i32 && dtype_of<std::int64_t> == DType::i64);
  static_assert(dtype_of<const std::uint8_t> == DType::u8 && dtype_of<bool> == DType::boolean);
  static_assert(sizeof(Half) == 2 && sizeof(BFloat16) == 2);
  static_assert(static_cast<float>(Half(1.5f)) == 1.5f);  // also at compile time
}

}  // namespace
}  // namespace logsum::test
