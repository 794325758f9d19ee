// SPDX-License-Identifier: Apache-2.0
// The safetensors format: a u64 header length, a JSON header, the tensors' bytes. The parser works
// on a span of bytes, trusts none of them, and is stricter than the reference implementation, which
// lets duplicate and unknown keys pass.
//
// Tensors may lie at any byte offset: files of the current reference implementation and of this
// writer are aligned, older and other ones need not be. See is_aligned().
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/array_info.hpp"

namespace logsum::io {

// The reference implementation's limit.
inline constexpr std::size_t kMaxSafetensorsHeader = 100'000'000;

// An element type of the format. The parser has to know the size of those that logsum cannot
// compute with, too, in order to check the layout.
struct SafetensorsType {
  const char* name;
  unsigned bits;
  std::optional<DType> dtype;
};
const SafetensorsType* find_safetensors_type(std::string_view name) noexcept;

// What the header says, before anything is checked against the size of the file.
struct SafetensorsEntry {
  std::string name;
  std::string dtype_name;
  std::vector<std::int64_t> shape;
  std::vector<std::uint64_t> offsets;
};
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  Metadata metadata;
};

// The JSON alone: `json` is the header without its length and padding. `path` is for messages.
SafetensorsHeader parse_safetensors_json(std::string_view json, const std::string& path);

// The whole file. The arrays point into `bytes`. Throws FileError.
ArrayList parse_safetensors(std::span<const std::byte> bytes, const std::string& path);

// Sorted by falling element size, which aligns every array; otherwise in the order given.
std::vector<ArrayInfo> aligned_order(std::vector<ArrayInfo> arrays);

// Everything before the data: length, JSON and padding to 8 bytes, for arrays that follow it in the
// order given. Only names, dtypes and shapes are read, so that the data can be streamed. Throws
// FileError for names and shapes that the parser would refuse.
std::string safetensors_header(std::span<const ArrayInfo> arrays, const Metadata& metadata,
                               const std::string& path);

// Writes a whole file, in aligned order, atomically.
void write_safetensors(const std::string& path, std::vector<ArrayInfo> arrays,
                       const Metadata& metadata = {});

}  // namespace logsum::io
