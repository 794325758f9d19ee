// SPDX-License-Identifier: Apache-2.0
// What logsum bench measured on a GPU, and its two forms.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gpu_bench_cases.hpp"
#include "logsum/devices.hpp"

namespace logsum::cli {

// Seconds of a call.
struct GpuTimes {
  double cold = 0, warm = 0;  // queued on a stream; warm: always the same input
  double graph = 0;           // in a CUDA graph, cold
};

struct GpuLine {
  std::string operation;
  GpuCase shape;
  int inputs;
  // What the operation is measured by, in a CUDA graph, cold: a bare read of the logits, or a
  // device copy that moves as many bytes as it must; "none" and 0 where it needn't move any.
  const char* limit_name;
  double limit;
  GpuTimes per_device, cross_device;
  // Of each kind of logits, in a CUDA graph, cold, per_device.
  std::vector<std::pair<BenchData, double>> graph_by_data;

  double spread() const;  // of them, slowest / fastest
};

void print_gpu_table(const BenchOptions& options, const DeviceInfo& device, int repeats,
                     const std::vector<GpuLine>& lines);
void print_gpu_json(const BenchOptions& options, const DeviceInfo& device, int repeats,
                    const std::vector<GpuLine>& lines);

}  // namespace logsum::cli
