// SPDX-License-Identifier: Apache-2.0
// Memory that faults when it is read or written one byte too far.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

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

}  // namespace logsum::test
