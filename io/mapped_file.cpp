// SPDX-License-Identifier: Apache-2.0
#include "io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "io/file_error.hpp"

namespace logsum::io {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer before it can be refused.
  const Descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) throw system_error(path_, "cannot open", errno);
  struct stat status = {};
  if (::fstat(file.fd, &status) != 0) throw system_error(path_, "cannot read", errno);
  if (S_ISDIR(status.st_mode)) throw FileError(path_, "is a directory; a regular file is needed");
  if (!S_ISREG(status.st_mode))
    throw FileError(path_, "is not a regular file; only those can be mapped");
  if (status.st_size == 0) throw FileError(path_, "is empty");
  size_ = static_cast<std::size_t>(status.st_size);
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (mapping == MAP_FAILED) throw system_error(path_, "cannot map", errno);
  data_ = static_cast<const std::byte*>(mapping);
  // Rows are visited in order: read ahead further than by default.
  ::madvise(mapping, size_, MADV_SEQUENTIAL);
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::advise(std::size_t begin, std::size_t end, int advice) const noexcept {
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, advice);
}

void MappedFile::release(std::size_t begin, std::size_t end) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  // The page at `begin` may have been kept by the release before; the one at `end` is still in use,
  // unless the file ends there.
  advise(begin / page * page, end < size_ ? end / page * page : size_, MADV_DONTNEED);
}

void MappedFile::will_need(std::size_t begin, std::size_t end) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  advise(begin / page * page, std::min(end, size_), MADV_WILLNEED);
}

}  // namespace logsum::io
