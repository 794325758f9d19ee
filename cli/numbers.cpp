// SPDX-License-Identifier: Apache-2.0
#include "numbers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "errors.hpp"
#include "io/file_error.hpp"

namespace logsum::cli {
namespace {

template <class T>
bool read_all(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  auto result = std::from_chars(text.data(), end, value);
  if constexpr (std::is_floating_point_v<T>) {
    if (result.ec == std::errc::result_out_of_range) {  // 1e-400 is a number: 0
      value = std::strtod(text.c_str(), nullptr);
      result.ec = std::errc();
    }
  }
  return result.ec == std::errc() && result.ptr == end;
}

[[noreturn]] void refuse(const std::string& option, const std::string& text,
                         const std::string& allowed) {
  throw UsageError(fmt::format("{} is {}, must be {}", option, io::in_quotes(text), allowed));
}

}  // namespace

std::int64_t parse_i64(const std::string& option, const std::string& text, std::int64_t min,
                       std::int64_t max) {
  std::int64_t value = 0;
  if (read_all(text, value) && value >= min && value <= max) return value;
  if (max < INT64_MAX) refuse(option, text, fmt::format("an integer in [{}, {}]", min, max));
  if (min > INT64_MIN) refuse(option, text, fmt::format("an integer, at least {}", min));
  refuse(option, text, "an integer of 64 bits");
}

std::uint64_t parse_u64(const std::string& option, const std::string& text) {
  std::uint64_t value = 0;
  if (!read_all(text, value)) refuse(option, text, "an integer in [0, 2^64 - 1]");
  return value;
}

int parse_threads(const std::string& text) {
  return static_cast<int>(parse_i64("--threads", text, 1, 1024));
}

float parse_temperature(const std::string& text, Zero zero) {
  double value = 0;
  const bool number = read_all(text, value);
  if (number && value >= 0x1p-64 && value <= 0x1p64) return static_cast<float>(value);
  if (number && value == 0 && zero == Zero::is_greedy) return 0;
  refuse("--temperature", text,
         zero == Zero::is_greedy ? "a number in [2^-64, 2^64], or 0 for argmax"
                                 : "a number in [2^-64, 2^64]");
}

double parse_uniform(const std::string& text) {
  double value = 0;
  if (!read_all(text, value) || !(value >= 0 && value < 1)) refuse("--u", text, "in [0, 1)");
  return value;
}

double parse_number(const std::string& option, const std::string& text, double min, double max) {
  double value = 0;
  if (!read_all(text, value) || !(value >= min && value <= max))
    refuse(option, text, fmt::format("a number in [{}, {}]", min, max));
  return value;
}

float parse_f32(const std::string& option, const std::string& text, bool may_be_none) {
  constexpr float kMost = std::numeric_limits<float>::max();
  if (may_be_none && text == "none") return std::numeric_limits<float>::infinity();
  double value = 0;
  if (!read_all(text, value) || !(std::fabs(value) <= static_cast<double>(kMost)))
    refuse(option, text,
           fmt::format("a number in [{}, {}]{}", -kMost, kMost, may_be_none ? " or none" : ""));
  return static_cast<float>(value);
}

ClipBand parse_clip_band(const std::string& option, const std::string& text) {
  const std::size_t comma = std::min(text.find(','), text.size());
  const std::string first = text.substr(0, comma);
  const std::string second = comma < text.size() ? text.substr(comma + 1) : first;
  ClipBand band{};
  if (!read_all(first, band.low) || !read_all(second, band.high) ||
      !(band.low >= 0 && band.low <= 1 && band.high >= 0 && band.high <= 1e6))
    refuse(option, text, "LOW or LOW,HIGH with LOW in [0, 1] and HIGH in [0, 1e6]");
  return band;
}

}  // namespace logsum::cli
