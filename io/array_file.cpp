// SPDX-License-Identifier: Apache-2.0
#include "io/array_file.hpp"

#include <algorithm>
#include <bit>

#include "io/file_error.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"

namespace logsum::io {
namespace {

static_assert(std::endian::native == std::endian::little,
              "arrays are used as they lie in the file");

ArrayList parse(std::span<const std::byte> bytes, ArrayFile::Format format,
                const std::string& path) {
  if (format == ArrayFile::Format::npy) return {{parse_npy(bytes, path)}, {}, {}};
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("PK\x03\x04"))
    throw FileError(path,
                    "is a ZIP archive, as .npz and .pt files are; allowed: safetensors and NPY");
  return parse_safetensors(bytes, path);
}

std::size_t offset_in(const MappedFile& file, const void* data) {
  return static_cast<std::size_t>(static_cast<const std::byte*>(data) - file.bytes().data());
}

std::string names(const std::vector<ArrayInfo>& arrays) {
  constexpr std::size_t kShown = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(arrays.size(), kShown); ++i)
    text += (i ? ", " : "") + in_quotes(arrays[i].name);
  if (arrays.size() > kShown) text += " and " + std::to_string(arrays.size() - kShown) + " more";
  return text.empty() ? "none" : text;
}

}  // namespace

ArrayFile::ArrayFile(const std::string& path)
    : file_(path),
      format_(is_npy(file_.bytes()) ? Format::npy : Format::safetensors),
      list_(parse(file_.bytes(), format_, path)) {}

const ArrayInfo* ArrayFile::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(list_.arrays, name, &ArrayInfo::name);
  return found == list_.arrays.end() ? nullptr : &*found;
}

const ArrayInfo& ArrayFile::at(std::string_view name) const {
  if (const ArrayInfo* array = find(name)) return *array;
  const auto skipped = std::ranges::find(list_.skipped, name, &SkippedArray::name);
  if (skipped != list_.skipped.end())
    throw FileError(path(), "tensor " + in_quotes(name) + " has dtype " + skipped->dtype_name +
                                "; allowed: F32, F16, BF16, F64, I32, I64, U8, BOOL");
  if (format_ == Format::npy)
    throw FileError(
        path(), "no array " + in_quotes(name) + ": an NPY file holds one array, without a name");
  throw FileError(path(), "no tensor " + in_quotes(name) + "; there are: " + names(list_.arrays));
}

void ArrayFile::release(const void* data, std::size_t bytes) const noexcept {
  const std::size_t begin = offset_in(file_, data);
  file_.release(begin, begin + bytes);
}

void ArrayFile::will_need(const void* data, std::size_t bytes) const noexcept {
  const std::size_t begin = offset_in(file_, data);
  file_.will_need(begin, begin + bytes);
}

const char* to_string(ArrayFile::Format format) noexcept {
  return format == ArrayFile::Format::npy ? "npy" : "safetensors";
}

}  // namespace logsum::io
