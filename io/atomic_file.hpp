// SPDX-License-Identifier: Apache-2.0
// AtomicFile: an output that appears under its name complete, or not at all. Bytes go to a file
// without a name (where the file system can: else a hidden one) in the same folder, which commit()
// puts under its name; without commit() it is gone and whatever stood there before is untouched.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace logsum::io {

class AtomicFile {
 public:
  // Throws FileError if the file could not be created or replaced. A symbolic link is followed;
  // an existing file keeps its permissions. Devices, pipes and folders are refused: renaming over
  // /dev/null would replace it.
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Unbuffered: write whole rows, not single values.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  // Flushes to the disk, then renames: after a power cut the old or the new content is there.
  void commit();

 private:
  void discard() noexcept;
  bool open_nameless() noexcept;
  bool link_nameless();
  void choose_temporary();

  std::string path_;    // as given, for messages
  std::string target_;  // with symbolic links resolved
  std::string temporary_;
  bool is_nameless_ = false;
  int fd_ = -1;
};

}  // namespace logsum::io
