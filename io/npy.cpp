// SPDX-License-Identifier: Apache-2.0
#include "io/npy.hpp"

#include <string_view>

#include "io/atomic_file.hpp"
#include "io/file_error.hpp"
#include "io/npy_dict.hpp"

namespace logsum::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

// Far beyond any header of at most 64 dimensions.
constexpr std::size_t kMaxHeader = 1 << 20;

// The first of a dtype's spellings is the one written.
struct NpyType {
  std::string_view descr;
  DType dtype;
};
constexpr NpyType kTypes[] = {
    {"<f4", DType::f32},  {"<f2", DType::f16}, {"<V2", DType::bf16},
    {"|V2", DType::bf16}, {"<f8", DType::f64}, {"<i4", DType::i32},
    {"<i8", DType::i64},  {"|u1", DType::u8},  {"|b1", DType::boolean},
};

std::string_view descr_of(DType dtype) {
  for (const NpyType& type : kTypes)
    if (type.dtype == dtype) return type.descr;
  return "";
}

DType dtype_of(std::string_view descr, const std::string& path) {
  for (const NpyType& type : kTypes)
    if (type.descr == descr) return type.dtype;
  std::string problem = "dtype " + in_quotes(descr) + " is not supported";
  if (descr.starts_with('>')) problem = "dtype " + in_quotes(descr) + " is big-endian";
  if (descr.substr(0, 2).ends_with('O'))
    problem = "dtype " + in_quotes(descr) + " holds Python objects";
  std::string allowed;
  for (const NpyType& type : kTypes)
    allowed += (allowed.empty() ? "" : ", ") + std::string(type.descr);
  throw FileError(path, problem + "; allowed: " + allowed);
}

struct Preamble {
  std::size_t header_offset, header_size;
};

Preamble read_preamble(std::span<const std::byte> bytes, const std::string& path) {
  const auto at = [&](std::size_t i) { return std::to_integer<std::size_t>(bytes[i]); };
  const auto ends = [&](const std::string& what) {
    return FileError(path,
                     what + ", but the file ends after " + std::to_string(bytes.size()) + " bytes");
  };
  if (bytes.size() < 8) throw ends("an NPY file has its version at byte 6");
  const std::size_t major = at(6), minor = at(7);
  if (major < 1 || major > 3 || minor != 0)
    throw FileError(path, "NPY version " + std::to_string(major) + "." + std::to_string(minor) +
                              " at byte 6 is unknown; allowed: 1.0, 2.0, 3.0");
  const std::size_t offset = major == 1 ? 10 : 12;
  if (bytes.size() < offset) throw ends("an NPY file has its header length at byte 8");
  std::size_t size = at(8) | at(9) << 8;
  if (major > 1) size |= at(10) << 16 | at(11) << 24;
  const std::string claim = "header length at byte 8 is " + std::to_string(size);
  if (size > kMaxHeader)
    throw FileError(path, claim + "; allowed: at most " + std::to_string(kMaxHeader));
  if (size > bytes.size() - offset) throw ends(claim);
  return {offset, size};
}

}  // namespace

bool is_npy(std::span<const std::byte> bytes) noexcept {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return std::string_view(text, bytes.size()).starts_with(kMagic);
}

ArrayInfo parse_npy(std::span<const std::byte> bytes, const std::string& path) {
  if (!is_npy(bytes))
    throw FileError(path, "not an NPY file: byte 0 does not begin \"\\x93NUMPY\"");
  const auto [offset, size] = read_preamble(bytes, path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + offset, size);
  NpyDict dict = parse_npy_dict(text, offset, path);
  const DType dtype = dtype_of(dict.descr, path);
  if (dict.fortran_order)
    throw FileError(path,
                    "fortran_order is True; allowed: False (numpy.ascontiguousarray converts)");

  const std::string what = "shape " + shape_text(dict.shape) + " of " + dict.descr;
  const auto bits = bits_of(8 * size_of(dtype), dict.shape);
  if (!bits) throw FileError(path, "the size of " + what + " overflows 64 bits");
  const std::span<const std::byte> data = bytes.subspan(offset + size);
  if (data.size() != *bits / 8)
    throw FileError(path, what + " needs " + std::to_string(*bits / 8) + " bytes, but " +
                              std::to_string(data.size()) + " follow the header at byte " +
                              std::to_string(offset + size));
  return {"", dtype, std::move(dict.shape), data.data(), data.size()};
}

std::string npy_header(const ArrayInfo& array, const std::string& path) {
  static_cast<void>(bytes_to_write(array, path));  // checks the shape
  std::string dict =
      "{'descr': '" + std::string(descr_of(array.dtype)) + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < array.shape.size(); ++i)
    dict += (i ? ", " : "") + std::to_string(array.shape[i]);
  dict += array.shape.size() == 1 ? ",), }" : "), }";

  // NumPy leaves room for the first dimension to grow to this many digits in place.
  constexpr std::size_t kGrowth = 21, kAlignment = 64, kPreamble = 10;
  if (!array.shape.empty()) dict.append(kGrowth - std::to_string(array.shape[0]).size(), ' ');
  const std::size_t used = (kPreamble + dict.size() + 1) % kAlignment;
  dict.append((kAlignment - used) % kAlignment, ' ');
  dict += '\n';
  std::string header(kMagic);
  header +=
      {'\x01', '\x00', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return header + dict;
}

void write_npy(const std::string& path, const ArrayInfo& array) {
  AtomicFile file(path);
  file.write(npy_header(array, path));
  file.write(bytes_of(array, path));
  file.commit();
}

}  // namespace logsum::io
