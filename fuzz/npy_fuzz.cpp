// SPDX-License-Identifier: Apache-2.0
// Whatever the NPY parser accepts lies inside the file, has the size its shape asks for, and
// survives being written and parsed again; whatever it refuses, it refuses with one printable line.
#include "io/npy.hpp"

#include <algorithm>
#include <cstdlib>

#include "io/file_error.hpp"

namespace {

using namespace logsum::io;
using Bytes = std::span<const std::byte>;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_array(const ArrayInfo& array, Bytes file) {
  const auto* data = static_cast<const std::byte*>(array.data);
  require(data >= file.data() + 10 && data + array.bytes == file.data() + file.size());
  require(*bits_of(8 * size_of(array.dtype), array.shape) == 8 * array.bytes);
  require(array.name.empty() && array.shape.size() <= kMaxFileRank);
  require(std::ranges::all_of(array.shape, [](std::int64_t d) { return d >= 0; }));
}

std::string write(const ArrayInfo& array) {
  return npy_header(array, "fuzz") + std::string(static_cast<const char*>(array.data), array.bytes);
}

void check_round_trip(const ArrayInfo& array) {
  const std::string file = write(array);
  const ArrayInfo again = parse_npy(std::as_bytes(std::span(file)), "fuzz");
  check_array(again, std::as_bytes(std::span(file)));
  require(again.dtype == array.dtype && again.shape == array.shape && is_aligned(again));
  require(std::equal(static_cast<const char*>(array.data),
                     static_cast<const char*>(array.data) + array.bytes,
                     static_cast<const char*>(again.data)));
  require(write(again) == file);
}

void check_message(const std::string& message) {
  require(message.starts_with("fuzz: ") && message.size() < 1000);
  require(std::ranges::none_of(message, [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }));
}

void check(Bytes file) {
  ArrayInfo array;
  try {
    array = parse_npy(file, "fuzz");
  } catch (const FileError& error) {
    return check_message(error.what());
  }
  check_array(array, file);
  check_round_trip(array);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file = std::as_bytes(std::span(data, size));
  check(file);
  // A mutation seldom hits the header length that fits the text: try the one that ends at the last
  // brace, too.
  const auto brace = std::find(file.rbegin(), file.rend(), std::byte{'}'});
  const auto end = static_cast<std::size_t>(file.rend() - brace);
  if (end <= 12) return 0;
  std::vector<std::byte> repaired(file.begin(), file.end());
  const bool wide = repaired[6] != std::byte{1};
  const std::size_t length = end - (wide ? 12 : 10);
  for (std::size_t i = 0; i < (wide ? 4u : 2u); ++i)
    repaired[8 + i] = static_cast<std::byte>(length >> (8 * i));
  check(repaired);
  return 0;
}
