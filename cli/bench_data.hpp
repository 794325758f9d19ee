// SPDX-License-Identifier: Apache-2.0
// The kinds of logits that logsum bench makes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace logsum::cli {

// Normal: spread 2.5, flatter than a language model's, so that no work is saved by a row's being
// nearly one token. Peaked: the same with one logit of 20 in each row. Flat: spread 0.1. Masked:
// 95 % of the normal ones are −∞.
enum class BenchData : std::uint8_t { normal, peaked, flat, masked };
inline constexpr BenchData kAllBenchData[] = {BenchData::normal, BenchData::peaked, BenchData::flat,
                                              BenchData::masked};

// Throws UsageError.
BenchData parse_bench_data(const std::string& name);
const char* to_string(BenchData data);

// A row begins at any of so many columns of the stretch.
inline constexpr std::int64_t kBenchStarts = 4099;
std::vector<float> bench_stretch(BenchData data, std::int64_t columns);

}  // namespace logsum::cli
