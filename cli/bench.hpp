// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_data.hpp"
#include "logsum/context.hpp"

namespace logsum::cli {

struct BenchOptions {
  std::vector<std::int64_t> vocab;  // empty: 131072, on a GPU those of the table
  std::int64_t rows = 0;            // 0: as many as make 256 MB of f32, on a GPU those of the table
  BenchData data = BenchData::normal;
  SimdTarget simd = SimdTarget::automatic;
  int threads = 0;     // 0: one, and all of the machine's
  int repeats = 0;     // 0: 7, on a GPU 25
  bool quick = false;  // GPU: one shape of each kind
  Device device;
  std::string filter;  // only operations whose name contains it
  bool json = false;
};

// Print the table (or JSON) of operations × shapes on this machine; the process's exit code.
int run_bench(const BenchOptions& options);
int run_gpu_bench(const BenchOptions& options);

}  // namespace logsum::cli
