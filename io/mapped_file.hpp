// SPDX-License-Identifier: Apache-2.0
// MappedFile: a regular file's bytes, mapped read-only. A file larger than memory can be streamed
// through: release() takes the pages that are done with out of the resident set, will_need() has
// the kernel read ahead. If another process shortens the file meanwhile, touching the lost pages
// raises SIGBUS, as with any mapping.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace logsum::io {

class MappedFile {
 public:
  // Throws FileError: missing, unreadable, empty, or not a regular file.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  // Byte offsets. Both are hints: bytes stay readable, a released page is read again when touched,
  // and ranges past the end are cut off. A page that also holds bytes after `end` is kept.
  void release(std::size_t begin, std::size_t end) const noexcept;
  void will_need(std::size_t begin, std::size_t end) const noexcept;

 private:
  void advise(std::size_t begin, std::size_t end, int advice) const noexcept;

  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace logsum::io
