// SPDX-License-Identifier: Apache-2.0
// Logits on a GPU, several times over: a call that takes another input each time finds none of it
// in the GPU's cache.
#pragma once

#include <optional>

#include "gpu.hpp"
#include "gpu_bench_cases.hpp"

namespace logsum::cli {

class GpuBenchLogits {
 public:
  // Small inputs together make four times the cache of `l2_bytes`, and 240 MB; of large ones there
  // are two. They hold nothing yet.
  GpuBenchLogits(Gpu& gpu, const GpuCase& shape, std::size_t l2_bytes);

  // Makes every input's logits of a kind, unless they are.
  void hold(Gpu& gpu, BenchData data);

  int inputs() const { return inputs_; }
  bool is_small() const { return is_small_; }
  std::size_t bytes() const { return bytes_; }  // of one input
  const GpuCase& shape() const { return shape_; }
  Device device() const { return device_; }
  Tensor tensor(int input) const;

 private:
  GpuCase shape_;
  Device device_;
  std::size_t bytes_, step_;
  bool is_small_;
  int inputs_;
  GpuBuffer buffer_;
  std::optional<BenchData> held_;
};

}  // namespace logsum::cli
