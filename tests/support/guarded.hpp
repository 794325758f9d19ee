// SPDX-License-Identifier: Apache-2.0
// Memory that faults when it is read or written one byte too far, and outputs between canaries.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "logsum/tensor.hpp"

namespace logsum::test {

// `size` bytes between two pages without access: they end where the second begins, or begin where
// the first ends.
class GuardedMemory {
 public:
  enum class Touches { end, begin };

  GuardedMemory(std::size_t size, Touches touches) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (size + page - 1) / page * page;
    mapped_ = inside + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_, page, PROT_NONE);
    mprotect(base_ + page + inside, page, PROT_NONE);
    data_ = base_ + page + (touches == Touches::end ? inside - size : 0);
  }
  ~GuardedMemory() { munmap(base_, mapped_); }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  void* data() { return data_; }

 private:
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t mapped_ = 0;
};

// A poisoned output of [rows, inner] elements, with `gap` elements between rows and canaries
// around; inner 0 makes it [rows].
class Canary {
 public:
  Canary(DType dtype, std::int64_t rows, std::int64_t inner = 0, std::int64_t gap = 3)
      : dtype_(dtype), rows_(rows), inner_(inner), stride_(std::max<std::int64_t>(inner, 1) + gap) {
    bytes_.assign(static_cast<std::size_t>(rows * stride_ + 2 * kMargin) * size_of(dtype), kPoison);
  }

  Tensor tensor() {
    const std::int64_t shape[] = {rows_, inner_};
    const std::int64_t strides[] = {stride_, 1};
    const std::size_t rank = inner_ > 0 ? 2 : 1;
    return Tensor::strided(at(0, 0), dtype_, std::span(shape, rank), std::span(strides, rank));
  }

  // Every element has been written: one that still holds the poison hasn't.
  bool all_written() {
    for (std::int64_t i = 0; i < rows_; ++i)
      for (std::int64_t k = 0; k < std::max<std::int64_t>(inner_, 1); ++k)
        if (is_poison(at(i, k), size_of(dtype_))) return false;
    return true;
  }

  // Nothing around the elements has been.
  bool nothing_else_written() {
    const std::size_t size = size_of(dtype_);
    const std::size_t row = static_cast<std::size_t>(std::max<std::int64_t>(inner_, 1)) * size;
    std::vector<std::byte> rest = bytes_;
    for (std::int64_t i = 0; i < rows_; ++i)
      std::memset(rest.data() + (at(i, 0) - bytes_.data()), static_cast<int>(kPoison), row);
    return is_poison(rest.data(), rest.size());
  }

 private:
  static constexpr std::int64_t kMargin = 64;
  static constexpr std::byte kPoison{0xa5};

  static bool is_poison(const std::byte* p, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      if (p[i] != kPoison) return false;
    return true;
  }
  std::byte* at(std::int64_t row, std::int64_t inner) {
    return bytes_.data() +
           static_cast<std::size_t>(kMargin + row * stride_ + inner) * size_of(dtype_);
  }

  DType dtype_;
  std::int64_t rows_, inner_, stride_;
  std::vector<std::byte> bytes_;
};

}  // namespace logsum::test
