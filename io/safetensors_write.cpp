// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "io/atomic_file.hpp"
#include "io/file_error.hpp"
#include "io/safetensors.hpp"

namespace logsum::io {
namespace {

const char* type_name(DType dtype) {
  switch (dtype) {
    case DType::f64: return "F64";
    case DType::f32: return "F32";
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::i64: return "I64";
    case DType::i32: return "I32";
    case DType::u8: return "U8";
    case DType::boolean: return "BOOL";
  }
  return "?";
}

// Ordered: in a JSON object of the default kind the tensors would be sorted by name.
std::string header_json(std::span<const ArrayInfo> arrays, const Metadata& metadata,
                        const std::string& path) {
  auto header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names;
  std::uint64_t offset = 0;
  for (const ArrayInfo& array : arrays) {
    if (array.name == "__metadata__")
      throw FileError(path, "cannot write an array named __metadata__: the format keeps that key");
    if (!names.insert(array.name).second)
      throw FileError(path, "cannot write two arrays named " + in_quotes(array.name));
    std::uint64_t end = 0;
    if (__builtin_add_overflow(offset, bytes_to_write(array, path), &end))
      throw FileError(path, "cannot write: the size of all arrays overflows 64 bits");
    header[array.name] = {
        {"dtype", type_name(array.dtype)}, {"shape", array.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  return header.dump();
}

}  // namespace

std::vector<ArrayInfo> aligned_order(std::vector<ArrayInfo> arrays) {
  std::ranges::stable_sort(arrays, std::greater{},
                           [](const ArrayInfo& array) { return size_of(array.dtype); });
  return arrays;
}

std::string safetensors_header(std::span<const ArrayInfo> arrays, const Metadata& metadata,
                               const std::string& path) {
  std::string json;
  try {
    json = header_json(arrays, metadata, path);
  } catch (const nlohmann::json::type_error&) {
    throw FileError(path, "cannot write: an array name or the metadata is not valid UTF-8");
  }
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxSafetensorsHeader)
    throw FileError(path, "cannot write: the header would have " + std::to_string(json.size()) +
                              " bytes; allowed: at most " + std::to_string(kMaxSafetensorsHeader));
  std::string header;
  for (unsigned shift = 0; shift < 64; shift += 8)
    header += static_cast<char>(static_cast<std::uint64_t>(json.size()) >> shift & 0xff);
  return header + json;
}

void write_safetensors(const std::string& path, std::vector<ArrayInfo> arrays,
                       const Metadata& metadata) {
  arrays = aligned_order(std::move(arrays));
  AtomicFile file(path);
  file.write(safetensors_header(arrays, metadata, path));
  for (const ArrayInfo& array : arrays) file.write(bytes_of(array, path));
  file.commit();
}

}  // namespace logsum::io
