// SPDX-License-Identifier: Apache-2.0
// The layout of a safetensors file: header length, element types, and data that the tensors cover
// exactly, without overlap or hole.
#include <algorithm>

#include "io/file_error.hpp"
#include "io/safetensors.hpp"

namespace logsum::io {
namespace {

constexpr SafetensorsType kTypes[] = {
    {"F64", 64, DType::f64},
    {"F32", 32, DType::f32},
    {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16},
    {"I64", 64, DType::i64},
    {"I32", 32, DType::i32},
    {"U8", 8, DType::u8},
    {"BOOL", 8, DType::boolean},
    {"I16", 16, std::nullopt},
    {"I8", 8, std::nullopt},
    {"U64", 64, std::nullopt},
    {"U32", 32, std::nullopt},
    {"U16", 16, std::nullopt},
    {"C64", 64, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},
    {"F8_E4M3", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},
    {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
};

std::string type_names() {
  std::string names;
  for (const SafetensorsType& type : kTypes)
    names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

std::string range_text(std::uint64_t begin, std::uint64_t end) {
  return "[" + std::to_string(begin) + ", " + std::to_string(end) + "]";
}

std::uint64_t header_length(std::span<const std::byte> bytes, const std::string& path) {
  const std::string size = std::to_string(bytes.size());
  if (bytes.size() < 8)
    throw FileError(path, "not a safetensors file: " + size +
                              " bytes long; allowed: at least the 8 bytes of the header length");
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;)
    length = (length << 8) | std::to_integer<std::uint64_t>(bytes[i]);
  const std::string claim = "header length at byte 0 is " + std::to_string(length);
  if (length > kMaxSafetensorsHeader)
    throw FileError(path, "not a safetensors file: " + claim + "; allowed: at most " +
                              std::to_string(kMaxSafetensorsHeader));
  if (length > bytes.size() - 8)
    throw FileError(path, claim + ", but the file ends after " + size + " bytes");
  return length;
}

// Bytes that the tensor's dtype and shape ask for.
std::uint64_t bytes_needed(const SafetensorsEntry& entry, const std::string& tensor,
                           const std::string& path) {
  const SafetensorsType* type = find_safetensors_type(entry.dtype_name);
  if (type == nullptr)
    throw FileError(path, tensor + " has the unknown dtype " + in_quotes(entry.dtype_name) +
                              "; allowed: " + type_names());
  const std::string what = "shape " + shape_text(entry.shape) + " of " + type->name;
  const auto bits = bits_of(type->bits, entry.shape);
  if (!bits) throw FileError(path, tensor + ": the size of " + what + " overflows 64 bits");
  if (*bits % 8 != 0)
    throw FileError(path, tensor + ": " + what + " is not a whole number of bytes");
  return *bits / 8;
}

void check_range(const SafetensorsEntry& entry, std::uint64_t data_size, const std::string& path) {
  const std::string tensor = "tensor " + in_quotes(entry.name);
  const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  const std::uint64_t needed = bytes_needed(entry, tensor, path);
  const std::string range = tensor + ": data_offsets " + range_text(begin, end);
  if (begin > end) throw FileError(path, range + " end before they begin");
  if (end > data_size)
    throw FileError(
        path, range + " end past the data, which has " + std::to_string(data_size) + " bytes");
  if (end - begin != needed)
    throw FileError(path, range + " hold " + std::to_string(end - begin) + " bytes, but shape " +
                              shape_text(entry.shape) + " of " + entry.dtype_name + " needs " +
                              std::to_string(needed));
}

// `entries` are sorted by their ranges, which are in bounds.
void check_cover(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_size,
                 const std::string& path) {
  std::uint64_t covered = 0;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry& entry : entries) {
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    if (begin < covered)
      throw FileError(path, "tensor " + in_quotes(entry.name) + " at data_offsets " +
                                range_text(begin, end) + " overlaps tensor " +
                                in_quotes(previous->name) + " at " +
                                range_text(previous->offsets[0], previous->offsets[1]));
    if (begin > covered)
      throw FileError(path, "data bytes " + range_text(covered, begin) + " before tensor " +
                                in_quotes(entry.name) + " belong to no tensor");
    covered = end;
    previous = &entry;
  }
  if (covered != data_size)
    throw FileError(path, "data bytes " + range_text(covered, data_size) +
                              " at the end of the file belong to no tensor");
}

}  // namespace

const SafetensorsType* find_safetensors_type(std::string_view name) noexcept {
  const auto* found = std::ranges::find(
      kTypes, name, [](const SafetensorsType& type) { return std::string_view(type.name); });
  return found == std::end(kTypes) ? nullptr : found;
}

ArrayList parse_safetensors(std::span<const std::byte> bytes, const std::string& path) {
  const std::uint64_t length = header_length(bytes, path);
  std::string_view json(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  if (!json.starts_with('{'))
    throw FileError(path, "not a safetensors file: header at byte 8 does not start with '{'");
  json = json.substr(0, json.find_last_not_of(' ') + 1);
  SafetensorsHeader header = parse_safetensors_json(json, path);
  const std::span<const std::byte> data = bytes.subspan(8 + length);

  std::vector<SafetensorsEntry>& entries = header.entries;
  for (const SafetensorsEntry& entry : entries) check_range(entry, data.size(), path);
  std::ranges::stable_sort(entries, {}, &SafetensorsEntry::offsets);
  check_cover(entries, data.size(), path);

  ArrayList list{.arrays = {}, .skipped = {}, .metadata = std::move(header.metadata)};
  for (SafetensorsEntry& entry : entries) {
    const auto array = data.subspan(entry.offsets[0], entry.offsets[1] - entry.offsets[0]);
    if (const auto dtype = find_safetensors_type(entry.dtype_name)->dtype)
      list.arrays.push_back(
          {std::move(entry.name), *dtype, std::move(entry.shape), array.data(), array.size()});
    else
      list.skipped.push_back({std::move(entry.name), std::move(entry.dtype_name),
                              std::move(entry.shape), array.size()});
  }
  return list;
}

}  // namespace logsum::io
