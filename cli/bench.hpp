// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "logsum/context.hpp"

namespace logsum::cli {

struct BenchOptions {
  std::vector<std::int64_t> vocab = {131072};
  std::int64_t rows = 0;  // 0: as many as make 256 MB of f32
  SimdTarget simd = SimdTarget::automatic;
  int threads = 0;  // 0: one, and all of the machine's
  int repeats = 7;
  std::string filter;  // only operations whose name contains it
  bool json = false;
};

// Prints the table (or JSON) of operations × shapes on this machine; the process's exit code.
int run_bench(const BenchOptions& options);

}  // namespace logsum::cli
