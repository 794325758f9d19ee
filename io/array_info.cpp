// SPDX-License-Identifier: Apache-2.0
#include "io/array_info.hpp"

#include <algorithm>

#include "io/file_error.hpp"

namespace logsum::io {

bool is_aligned(const ArrayInfo& array) noexcept {
  return array.bytes == 0 ||
         reinterpret_cast<std::uintptr_t>(array.data) % size_of(array.dtype) == 0;
}

std::optional<std::uint64_t> bits_of(std::uint64_t element_bits,
                                     std::span<const std::int64_t> shape) noexcept {
  std::uint64_t bits = element_bits;
  for (const std::int64_t dimension : shape) {
    const auto extent = static_cast<std::uint64_t>(std::max<std::int64_t>(dimension, 1));
    if (__builtin_mul_overflow(bits, extent, &bits)) return std::nullopt;
  }
  return std::ranges::find(shape, 0) != shape.end() ? 0 : bits;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  constexpr std::size_t kShown = 12;
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(shape.size(), kShown); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() > kShown ? ", ...]" : "]");
}

std::size_t bytes_to_write(const ArrayInfo& array, const std::string& path) {
  const auto refuse = [&](const char* why) {
    return FileError(path, "cannot write array " + in_quotes(array.name) + " of shape " +
                               shape_text(array.shape) + ": " + why);
  };
  if (array.shape.size() > kMaxFileRank) throw refuse("it has more than 64 dimensions");
  if (std::ranges::any_of(array.shape, [](std::int64_t d) { return d < 0; }))
    throw refuse("a dimension is negative");
  const auto bits = bits_of(8 * size_of(array.dtype), array.shape);
  if (!bits) throw refuse("its size overflows 64 bits");
  return *bits / 8;
}

std::span<const std::byte> bytes_of(const ArrayInfo& array, const std::string& path) {
  const std::size_t needed = bytes_to_write(array, path);
  if (array.bytes != needed)
    throw FileError(path, "cannot write array " + in_quotes(array.name) + ": it has " +
                              std::to_string(array.bytes) + " bytes, but shape " +
                              shape_text(array.shape) + " of " + to_string(array.dtype) +
                              " needs " + std::to_string(needed));
  return {static_cast<const std::byte*>(array.data), array.bytes};
}

}  // namespace logsum::io
