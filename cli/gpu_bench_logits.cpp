// SPDX-License-Identifier: Apache-2.0
#include "gpu_bench_logits.hpp"

#include <algorithm>
#include <new>

namespace logsum::cli {
namespace {

constexpr std::int64_t kMostLogits = std::int64_t{1} << 40;  // no GPU has room; no size overflows
constexpr std::size_t kLarge = 256 << 20;
constexpr std::size_t kTogether = 240'000'000;
constexpr std::size_t kMostInputs = 1024;  // launches of a graph
constexpr std::size_t kAlignment = 256;

std::size_t bytes_of(const GpuCase& shape) {
  if (shape.rows > kMostLogits / shape.columns) throw std::bad_alloc();
  return static_cast<std::size_t>(shape.rows * shape.columns) * size_of(shape.dtype);
}

std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (dtype == DType::bf16)
      reinterpret_cast<BFloat16*>(bytes.data())[i] = BFloat16(values[i]);
    else
      reinterpret_cast<float*>(bytes.data())[i] = values[i];
  return bytes;
}

}  // namespace

GpuBenchLogits::GpuBenchLogits(Gpu& gpu, const GpuCase& shape, std::size_t l2_bytes)
    : shape_(shape),
      device_{DeviceType::cuda, gpu.index()},
      bytes_(bytes_of(shape)),
      step_((bytes_ + kAlignment - 1) / kAlignment * kAlignment),
      is_small_(bytes_ < kLarge) {
  const std::size_t wanted = std::max(kTogether, 4 * l2_bytes);
  inputs_ =
      is_small_
          ? static_cast<int>(std::clamp<std::size_t>((wanted + step_ - 1) / step_, 2, kMostInputs))
          : 2;
  buffer_.at_least(gpu, step_ * static_cast<std::size_t>(inputs_));
}

Tensor GpuBenchLogits::tensor(int input) const {
  const std::int64_t dimensions[] = {shape_.rows, shape_.columns};
  return Tensor::contiguous(
      static_cast<std::byte*>(buffer_.data()) + step_ * static_cast<std::size_t>(input),
      shape_.dtype, dimensions, device_);
}

// One stretch is brought over, and each row is copied from a start of its own.
void GpuBenchLogits::hold(Gpu& gpu, BenchData data) {
  if (held_ == data) return;
  const std::vector<std::byte> host = stored(bench_stretch(data, shape_.columns), shape_.dtype);
  const GpuBuffer stretch(gpu, host.size());
  gpu.to_device(stretch.data(), host.data(), host.size());
  const std::size_t element = size_of(shape_.dtype);
  const std::size_t row_bytes = static_cast<std::size_t>(shape_.columns) * element;
  std::int64_t copied = 0;
  for (int input = 0; input < inputs_; ++input) {
    auto* to = static_cast<std::byte*>(tensor(input).data);
    for (std::int64_t row = 0; row < shape_.rows; ++row, to += row_bytes) {
      const std::int64_t start = copied++ * 56 % kBenchStarts / 8 * 8;  // whole vectors
      gpu.copy(to,
               static_cast<std::byte*>(stretch.data()) + static_cast<std::size_t>(start) * element,
               row_bytes);
    }
  }
  gpu.wait();
  held_ = data;
}

}  // namespace logsum::cli
