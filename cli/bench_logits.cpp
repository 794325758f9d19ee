// SPDX-License-Identifier: Apache-2.0
#include "bench_logits.hpp"

namespace logsum::cli {

BenchLogits::BenchLogits(std::int64_t rows, std::int64_t columns, DType dtype, BenchData data)
    : rows_(rows), columns_(columns), dtype_(dtype) {
  const std::vector<float> stretch = bench_stretch(data, columns);
  const auto count = static_cast<std::size_t>(rows * columns);
  if (dtype == DType::f32) f32_.resize(count);
  if (dtype == DType::bf16) bf16_.resize(count);
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = stretch.data() + row * 7 % kBenchStarts;
    for (std::int64_t i = 0; i < columns; ++i) {
      const auto at = static_cast<std::size_t>(row * columns + i);
      if (dtype == DType::f32) f32_[at] = from[i];
      if (dtype == DType::bf16) bf16_[at] = BFloat16(from[i]);
    }
  }
}

}  // namespace logsum::cli
