// SPDX-License-Identifier: Apache-2.0
// Whatever the safetensors parser accepts lies inside the file, covers it without overlap, and
// survives being written and parsed again; whatever it refuses, it refuses with one printable line.
#include "io/safetensors.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "io/file_error.hpp"

namespace {

using namespace logsum::io;
using Bytes = std::span<const std::byte>;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_list(const ArrayList& list, Bytes file) {
  const std::byte* end = nullptr;
  std::size_t total = 0;
  for (const ArrayInfo& array : list.arrays) {
    const auto* data = static_cast<const std::byte*>(array.data);
    require(data >= file.data() + 8 && data + array.bytes <= file.data() + file.size());
    require(end == nullptr || data >= end);
    end = data + array.bytes;
    total += array.bytes;
    require(*bits_of(8 * size_of(array.dtype), array.shape) == 8 * array.bytes);
    require(array.shape.size() <= kMaxFileRank);
    require(std::ranges::all_of(array.shape, [](std::int64_t d) { return d >= 0; }));
  }
  for (const SkippedArray& array : list.skipped) total += array.bytes;
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  require(8 + header + total == file.size());
}

std::string write(const std::vector<ArrayInfo>& arrays, const Metadata& metadata) {
  std::string file = safetensors_header(arrays, metadata, "fuzz");
  for (const ArrayInfo& array : arrays)
    file.append(static_cast<const char*>(array.data), array.bytes);
  return file;
}

void check_round_trip(const ArrayList& list) {
  const std::vector<ArrayInfo> ordered = aligned_order(list.arrays);
  const std::string file = write(ordered, list.metadata);
  const ArrayList again = parse_safetensors(std::as_bytes(std::span(file)), "fuzz");
  check_list(again, std::as_bytes(std::span(file)));
  require(again.metadata == list.metadata && again.skipped.empty());
  require(again.arrays.size() == ordered.size());
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    const ArrayInfo &a = ordered[i], &b = again.arrays[i];
    require(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes);
    require(std::equal(static_cast<const char*>(a.data), static_cast<const char*>(a.data) + a.bytes,
                       static_cast<const char*>(b.data)));
    require(is_aligned(b));
  }
  require(write(again.arrays, again.metadata) == file);
}

void check_message(const std::string& message) {
  require(message.starts_with("fuzz: ") && message.size() < 1000);
  require(std::ranges::none_of(message, [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }));
}

void check(Bytes file) {
  ArrayList list;
  try {
    list = parse_safetensors(file, "fuzz");
  } catch (const FileError& error) {
    return check_message(error.what());
  }
  check_list(list, file);
  check_round_trip(list);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file = std::as_bytes(std::span(data, size));
  check(file);
  // A mutation seldom hits the header length that fits the text: try the one that ends at the last
  // brace, too.
  const auto brace = std::find(file.rbegin(), file.rend(), std::byte{'}'});
  const auto end = static_cast<std::uint64_t>(file.rend() - brace);
  if (end <= 8) return 0;
  std::vector<std::byte> repaired(file.begin(), file.end());
  const std::uint64_t length = end - 8;
  std::memcpy(repaired.data(), &length, 8);
  check(repaired);
  return 0;
}
