// SPDX-License-Identifier: Apache-2.0
// The operations of a family on a GPU, with room for their outputs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gpu_bench_logits.hpp"
#include "logsum/context.hpp"

namespace logsum::cli {

// The least that must go through the GPU's memory, in sizes of the logits; nothing of what is small
// enough to stay in the cache.
struct GpuTraffic {
  int reads, writes;
};

struct GpuOperation {
  std::string name;
  GpuTraffic traffic;
  std::size_t workspace;
  std::function<void(int input, const Context&)> run;
  std::function<void(const Context&)> prepare = {};  // optional: once before it is timed
  bool takes_gradients = false;  // run's inputs are gradients; of the logits only prepare knows
};

// They keep their outputs alive, not the logits and the GPU.
std::vector<GpuOperation> gpu_operations(Gpu& gpu, const GpuBenchLogits& logits);

}  // namespace logsum::cli
