// SPDX-License-Identifier: Apache-2.0
#include "bench_data.hpp"

#include <fmt/format.h>

#include <limits>
#include <random>

#include "errors.hpp"
#include "io/file_error.hpp"

namespace logsum::cli {
const char* to_string(BenchData data) {
  switch (data) {
    case BenchData::normal: return "normal";
    case BenchData::peaked: return "peaked";
    case BenchData::flat: return "flat";
    case BenchData::masked: return "masked";
  }
  return "?";
}

BenchData parse_bench_data(const std::string& name) {
  for (const BenchData data : kAllBenchData)
    if (name == to_string(data)) return data;
  throw UsageError(
      fmt::format("--data is {}, must be normal, peaked, flat or masked", io::in_quotes(name)));
}

std::vector<float> bench_stretch(BenchData data, std::int64_t columns) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, data == BenchData::flat ? 0.1f : 2.5f);
  std::vector<float> stretch(static_cast<std::size_t>(columns + kBenchStarts));
  for (float& x : stretch) x = normal(random);
  const auto period = static_cast<std::size_t>(columns);
  if (data == BenchData::peaked)
    for (std::size_t i = period / 2; i < stretch.size(); i += period) stretch[i] = 20;
  if (data == BenchData::masked) {
    std::bernoulli_distribution is_masked(0.95);
    for (float& x : stretch)
      if (is_masked(random)) x = -std::numeric_limits<float>::infinity();
  }
  return stretch;
}

}  // namespace logsum::cli
