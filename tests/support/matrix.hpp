// SPDX-License-Identifier: Apache-2.0
// A matrix of logits in any dtype with any row stride and start offset, and the ways to run an
// operation.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "logsum/context.hpp"
#include "logsum/tensor.hpp"
#include "support/on.hpp"
#include "support/rows.hpp"

namespace logsum::test {

class Matrix {
 public:
  // `padding` more columns in memory than in the shape, and `misalign` elements before the first.
  Matrix(std::int64_t rows, std::int64_t columns, DType dtype, std::int64_t padding = 0,
         std::int64_t misalign = 0)
      : rows_(rows),
        columns_(columns),
        stride_(columns + padding),
        offset_(misalign),
        dtype_(dtype) {
    bytes_.resize(static_cast<std::size_t>(rows * stride_ + offset_) * size_of(dtype),
                  std::byte{0x7f});
  }

  void set_row(std::int64_t row, const std::vector<float>& z) {
    for (std::size_t i = 0; i < z.size(); ++i) set(row, static_cast<std::int64_t>(i), z[i]);
  }
  void set(std::int64_t row, std::int64_t column, float z) {
    std::byte* p = at(row, column);
    if (dtype_ == DType::f32) std::memcpy(p, &z, 4);
    const std::uint16_t bits = dtype_ == DType::bf16 ? BFloat16(z).bits : Half(z).bits;
    if (dtype_ != DType::f32) std::memcpy(p, &bits, 2);
  }

  Tensor tensor() {
    const std::int64_t shape[] = {rows_, columns_};
    const std::int64_t strides[] = {stride_, 1};
    return Tensor::strided(at(0, 0), dtype_, shape, strides);
  }
  // One row as [1, V].
  Tensor row(std::int64_t i) {
    const std::int64_t shape[] = {1, columns_};
    return Tensor::contiguous(at(i, 0), dtype_, shape);
  }

 private:
  std::byte* at(std::int64_t row, std::int64_t column) {
    return bytes_.data() +
           static_cast<std::size_t>(offset_ + row * stride_ + column) * size_of(dtype_);
  }
  std::int64_t rows_, columns_, stride_, offset_;
  DType dtype_;
  std::vector<std::byte> bytes_;
};

inline const std::vector<DType>& logits_dtypes() {
  static const std::vector<DType> all = {DType::f32, DType::f16, DType::bf16};
  return all;
}

inline const Context kReference{.backend = Backend::reference};

// All that give the CPU backend's bits: it with each SIMD target that this machine can run. Where
// the tests are CUDA's, one of them is enough beside it.
inline std::vector<Context> fast_contexts() {
  std::vector<Context> contexts;
  for (const SimdTargetInfo& target : simd_targets())
    if (target.available && !(on::is_cuda() && !contexts.empty()))
      contexts.push_back({.backend = Backend::cpu, .simd = target.id});
  if (on::is_cuda())
    contexts.push_back({.backend = Backend::cuda, .determinism = Determinism::cross_device});
  return contexts;
}

// And those whose bits are their own, which keep the contract all the same.
inline std::vector<Context> contract_contexts() {
  std::vector<Context> contexts = fast_contexts();
  if (on::is_cuda()) contexts.push_back({.backend = Backend::cuda});
  return contexts;
}

inline bool has_cpu_bits(const Context& context) {
  return context.backend == Backend::cpu || context.determinism == Determinism::cross_device;
}

// And the reference: every way to run what lays no rows over a GPU, as merge and draw.
inline std::vector<Context> merge_contexts() {
  std::vector<Context> contexts = contract_contexts();
  contexts.push_back(kReference);
  return contexts;
}

// And, for what visits rows, the way that the few rows of most tests don't take by themselves.
inline std::vector<Context> all_contexts() {
  std::vector<Context> contexts = merge_contexts();
  if (on::is_cuda())
    contexts.push_back({.backend = Backend::cuda,
                        .determinism = Determinism::cross_device,
                        .schedule = Schedule::spans});
  return contexts;
}

inline std::string name_of(const Context& context) {
  if (context.backend == Backend::reference) return "reference";
  if (context.schedule == Schedule::spans) return "cuda, spans";
  if (context.backend == Backend::cuda) return has_cpu_bits(context) ? "cuda" : "cuda, its bits";
  for (const SimdTargetInfo& target : simd_targets())
    if (target.id == context.simd) return target.name;
  return "automatic";
}

// The widths at which tiles, chunks, lanes and vectors end.
inline const std::vector<std::int64_t>& widths() {
  static const std::vector<std::int64_t> all = {
      1,    2,    3,    7,    8,    9,    31,   64,   65,   255,   256,   257,  1000,
      1023, 1024, 1025, 4095, 4096, 4097, 5000, 8192, 8193, 12289, 32000, 50257};
  return all;
}

inline bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

// |got − truth| within the contract's bound; both NaN, or the same infinity, are equal.
inline bool within_contract(double got, double truth) {
  if (std::isnan(truth)) return std::isnan(got);
  if (std::isinf(truth)) return got == truth;
  return std::fabs(got - truth) <= 5e-7 + 0x1p-22 * std::fabs(truth);
}

}  // namespace logsum::test
