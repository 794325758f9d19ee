// SPDX-License-Identifier: Apache-2.0
// What a file of arrays says about its contents. Both formats reduce to this: named, row-major,
// little-endian arrays that lie in the bytes of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "logsum/dtype.hpp"

namespace logsum::io {

struct ArrayInfo {
  std::string name;  // empty for the one array of an NPY file
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  // Points into the file's bytes, where neither format promises alignment: see is_aligned(). A
  // boolean's byte may hold any value, so read it as std::uint8_t.
  const void* data = nullptr;
  std::size_t bytes = 0;
};

// An array of a type that logsum has no name for. It is listed, and an error only once it is asked
// for: a checkpoint may well carry such tensors beside the logits.
struct SkippedArray {
  std::string name;
  std::string dtype_name;  // as the file spells it
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;
};

using Metadata = std::map<std::string, std::string>;

struct ArrayList {
  std::vector<ArrayInfo> arrays;  // in the order of their bytes
  std::vector<SkippedArray> skipped;
  Metadata metadata;
};

// NumPy's limit. A Tensor holds fewer (kMaxRank).
inline constexpr std::size_t kMaxFileRank = 64;

// Whether the array may be read in place through a pointer to its element type, which every logsum
// operation does. If not, copy the rows at hand to memory of your own first (std::memcpy).
bool is_aligned(const ArrayInfo& array) noexcept;

// Size in bits of an array of non-negative dimensions. Absent if it doesn't fit 64 bits, counting
// zero dimensions as one so that the array's strides fit as well.
std::optional<std::uint64_t> bits_of(std::uint64_t element_bits,
                                     std::span<const std::int64_t> shape) noexcept;

// "[2, 3]", cut if it is long.
std::string shape_text(std::span<const std::int64_t> shape);

// For the writers: the size in bytes that dtype and shape ask for, and the bytes themselves. Throw
// FileError where the shape is not one that the parsers would take back, or `bytes` is not its
// size.
std::size_t bytes_to_write(const ArrayInfo& array, const std::string& path);
std::span<const std::byte> bytes_of(const ArrayInfo& array, const std::string& path);

}  // namespace logsum::io
