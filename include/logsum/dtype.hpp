// SPDX-License-Identifier: Apache-2.0
// Element types. Half and BFloat16 are storage only: two bytes, layout-equal to CUDA's __half and
// __nv_bfloat16 and to PyTorch's; arithmetic is done in float. Conversion from float rounds to
// nearest even.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace logsum {

enum class DType : std::uint8_t { f32, f16, bf16, f64, i32, i64, u8, boolean };

constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16:
    case DType::bf16: return 2;
    case DType::u8:
    case DType::boolean: return 1;
  }
  return 0;
}

constexpr const char* to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::f64: return "f64";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::boolean: return "bool";
  }
  return "?";
}

// The dtypes logits may have.
constexpr bool is_logits_dtype(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

struct BFloat16 {
  std::uint16_t bits = 0;

  constexpr BFloat16() = default;
  constexpr explicit BFloat16(float value) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    // A NaN keeps its sign and becomes quiet: rounding could carry its payload into infinity.
    bits = static_cast<std::uint16_t>(is_nan ? (u >> 16) | 0x40u
                                             : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  constexpr explicit operator float() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

struct Half {
  std::uint16_t bits = 0;

  constexpr Half() = default;
  constexpr explicit Half(float value) noexcept : bits(from_float(value)) {}
  constexpr explicit operator float() const noexcept {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0) {  // zero and subnormals: mantissa · 2^-24, exact in float
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
    }
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }

 private:
  static constexpr std::uint16_t from_float(float value) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (u >> 16) & 0x8000u;
    const std::uint32_t a = u & 0x7fffffffu;
    std::uint32_t half = 0;
    if (a > 0x7f800000u) {  // NaN, made quiet
      half = 0x7e00u | ((a >> 13) & 0x3ffu);
    } else if (a >= 0x477ff000u) {  // 65520 and above round to infinity
      half = 0x7c00u;
    } else if (a >= 0x38800000u) {  // normal in f16
      const std::uint32_t rebased = a - (112u << 23);
      half = (rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13;
    } else if (a > 0x33000000u) {  // above 2^-25: subnormal in f16
      const std::uint32_t shift = 126u - (a >> 23);
      const std::uint32_t mantissa = (a & 0x7fffffu) | 0x800000u;
      const std::uint32_t kept = mantissa >> shift;
      const std::uint32_t lost = mantissa & ((1u << shift) - 1u);
      const std::uint32_t tie = 1u << (shift - 1u);
      half = kept + ((lost > tie || (lost == tie && (kept & 1u))) ? 1u : 0u);
    }
    return static_cast<std::uint16_t>(sign | half);
  }
};

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<Half> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};
template <class T>
struct DTypeOf<const T> : DTypeOf<T> {};

template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace logsum
