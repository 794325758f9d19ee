// SPDX-License-Identifier: Apache-2.0
// Address space by the gigabyte, of which only the pages that are written take memory; all zeros.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace logsum::test {

class SparseMemory {
 public:
  explicit SparseMemory(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
    void* const mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(mapped);
    // A huge page of zeros would be allocated for a single read.
    madvise(base_, bytes_, MADV_NOHUGEPAGE);
  }
  ~SparseMemory() { munmap(base_, bytes_); }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;

  std::byte* at(std::int64_t byte) { return base_ + byte; }

 private:
  std::byte* base_;
  std::size_t bytes_;
};

}  // namespace logsum::test
