// SPDX-License-Identifier: Apache-2.0
// ArrayFile: the arrays of a safetensors or NPY file, mapped rather than read. The format is told
// by the file's first bytes, not by its name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/array_info.hpp"
#include "io/mapped_file.hpp"

namespace logsum::io {

class ArrayFile {
 public:
  enum class Format { safetensors, npy };

  // Throws FileError.
  explicit ArrayFile(const std::string& path);

  const std::string& path() const noexcept { return file_.path(); }
  Format format() const noexcept { return format_; }
  const std::vector<ArrayInfo>& arrays() const noexcept { return list_.arrays; }
  const std::vector<SkippedArray>& skipped() const noexcept { return list_.skipped; }
  const Metadata& metadata() const noexcept { return list_.metadata; }

  // Null where there is no such array, or only one of a type that logsum lacks.
  const ArrayInfo* find(std::string_view name) const noexcept;
  // Throws FileError, which says which of the two it is, and what there is.
  const ArrayInfo& at(std::string_view name) const;

  // See MappedFile. `data` points into an array of this file.
  void release(const void* data, std::size_t bytes) const noexcept;
  void will_need(const void* data, std::size_t bytes) const noexcept;

 private:
  MappedFile file_;
  Format format_;
  ArrayList list_;
};

const char* to_string(ArrayFile::Format format) noexcept;

}  // namespace logsum::io
