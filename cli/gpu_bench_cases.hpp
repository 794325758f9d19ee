// SPDX-License-Identifier: Apache-2.0
// What logsum bench measures on a GPU: kinds of operations × shapes.
#pragma once

#include <vector>

#include "bench.hpp"

namespace logsum::cli {

// Operations with the same inputs, outputs and shapes.
enum class GpuFamily : std::uint8_t { sample, score, top, softmax, loss, shards, kl };

inline constexpr std::int64_t kGpuTop = 20;  // N of top-N

struct GpuCase {
  GpuFamily family;
  std::int64_t rows, columns;
  DType dtype;
};

// Throws UsageError where --rows and --vocab leave none.
std::vector<GpuCase> gpu_cases(const BenchOptions& options);

}  // namespace logsum::cli
