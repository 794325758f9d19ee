// SPDX-License-Identifier: Apache-2.0
// Numbers on the command line, read strictly: all of the text must be a decimal number that the
// type holds. strtoll, which CLI11 uses, takes 010 for 8 and 2^70 for 2^63 - 1.
#pragma once

#include <cstdint>
#include <string>

namespace logsum::cli {

// All throw UsageError, which names the option, the text and what is allowed.
std::int64_t parse_i64(const std::string& option, const std::string& text, std::int64_t min,
                       std::int64_t max);
std::uint64_t parse_u64(const std::string& option, const std::string& text);
int parse_threads(const std::string& text);

enum class Zero { refused, is_greedy };
float parse_temperature(const std::string& text, Zero zero);

double parse_uniform(const std::string& text);

// A number in [min, max].
double parse_number(const std::string& option, const std::string& text, double min, double max);

// A number that f32 holds; where `may_be_none` also "none", for which there is +infinity.
float parse_f32(const std::string& option, const std::string& text, bool may_be_none = false);

// LOW or LOW,HIGH: how far below and above 1 a ratio may be; LOW in [0, 1], HIGH in [0, 1e6].
struct ClipBand {
  double low, high;
};
ClipBand parse_clip_band(const std::string& option, const std::string& text);

}  // namespace logsum::cli
