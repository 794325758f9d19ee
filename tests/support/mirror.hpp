// SPDX-License-Identifier: Apache-2.0
// A copy of a call's memory elsewhere, in which an operation sees what it would see at home: the
// same alignment, overlaps and neighbours, and what lies between strided elements. Around each
// block are guards, which show a write outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "logsum/context.hpp"
#include "logsum/tensor.hpp"
#include "support/device_memory.hpp"

namespace logsum::test {

class Mirror {
 public:
  explicit Mirror(DeviceMemory& memory) : memory_(memory) {}
  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  // What the call is given, before to_device(), which rewrites the pointers. A tensor must be one
  // that the library accepts; one without elements keeps its pointer.
  void add(Tensor& tensor);
  // Zeros, as a backend may ask of a workspace it hasn't seen before; not copied back.
  void add(Workspace& workspace);

  std::size_t size() const;
  // Again: copies anew, to where the call's memory is since the first time.
  void to_device();
  // Copies back; says what was written outside, if anything was.
  std::string to_host();

  // How many have been copied back.
  static std::int64_t count();

 private:
  struct Place {
    void** pointer;
    std::uintptr_t begin, end;  // the bytes it stands for
  };
  struct Block {
    std::uintptr_t begin, end;
    bool is_workspace;
    std::byte* base = nullptr;  // of the allocation
    std::size_t lead() const;
    std::size_t size() const { return end - begin; }
  };

  std::vector<Block> blocks_of_tensors() const;
  void allocate();

  DeviceMemory& memory_;
  std::vector<Place> tensors_, workspaces_;
  std::vector<Block> blocks_;
};

}  // namespace logsum::test
