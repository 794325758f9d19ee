// SPDX-License-Identifier: Apache-2.0
// What logsum bench works on.
#pragma once

#include <cstdint>
#include <vector>

#include "bench_data.hpp"
#include "logsum/tensor.hpp"

namespace logsum::cli {

// Rows of random logits, from one stretch of them read at a different start in each row.
class BenchLogits {
 public:
  BenchLogits(std::int64_t rows, std::int64_t columns, DType dtype, BenchData data);

  const void* data() const {
    return dtype_ == DType::f32 ? static_cast<const void*>(f32_.data()) : bf16_.data();
  }
  std::size_t bytes() const { return static_cast<std::size_t>(rows_ * columns_) * size_of(dtype_); }
  Tensor tensor(std::int64_t rows) const {
    const std::int64_t shape[] = {rows, columns_};
    return Tensor::contiguous(const_cast<void*>(data()), dtype_, shape);
  }
  float value(std::size_t i) const {
    return dtype_ == DType::f32 ? f32_[i] : static_cast<float>(bf16_[i]);
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  DType dtype() const { return dtype_; }

 private:
  std::int64_t rows_, columns_;
  DType dtype_;
  std::vector<float> f32_;
  std::vector<BFloat16> bf16_;
};

}  // namespace logsum::cli
