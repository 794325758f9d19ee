// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "io/file_error.hpp"

namespace logsum::io {
namespace {

std::string resolve(const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr)
    throw system_error(path, "cannot follow the symbolic link", errno);
  return resolved;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), target_(resolve(path_)) {
  struct stat status = {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) throw FileError(path_, "cannot write: is a directory");
  if (exists && !S_ISREG(status.st_mode))
    throw FileError(path_, "cannot write: exists and is not a regular file");
  if (exists && ::access(target_.c_str(), W_OK) != 0)
    throw system_error(path_, "cannot write", errno);
  if (target_.empty() || target_.back() == '/')
    throw FileError(path_, "cannot write: names a folder; a file name is needed");

  // Without a name until commit(): nothing is left of a process that is killed. Where the file
  // system has no such files, under a hidden one.
  is_nameless_ = open_nameless();
  if (!is_nameless_) {
    do {
      choose_temporary();
      fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EEXIST);
  }
  if (fd_ < 0) throw system_error(path_, "cannot create", errno);
  if (exists) static_cast<void>(::fchmod(fd_, status.st_mode & 07777));
}

AtomicFile::~AtomicFile() { discard(); }

bool AtomicFile::open_nameless() noexcept {
  if (::access("/proc/self/fd", X_OK) != 0) return false;  // commit() links through it
  const std::string folder = folder_of(target_) + ".";
  fd_ = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  return fd_ >= 0;
}

// Not mkstemp: its 0600 would have to be widened by a umask that cannot be read safely.
void AtomicFile::choose_temporary() {
  static std::atomic<unsigned> counter{0};
  temporary_ = folder_of(target_) + ".logsum-" + std::to_string(::getpid()) + "-" +
               std::to_string(counter++) + ".tmp";
}

// Gives a nameless file a hidden name, as renaming over an existing file needs one.
bool AtomicFile::link_nameless() {
  const std::string self = "/proc/self/fd/" + std::to_string(fd_);
  int failed = 0;
  do {
    choose_temporary();
    failed = ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW);
  } while (failed != 0 && errno == EEXIST);
  is_nameless_ = failed != 0;
  return failed == 0;
}

void AtomicFile::discard() noexcept {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!is_nameless_) ::unlink(temporary_.c_str());
  fd_ = -1;
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_error(path_, "cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) throw system_error(path_, "cannot write to the disk", errno);
  if (is_nameless_ && !link_nameless())
    throw system_error(path_, "cannot put the finished file in place", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0)
    throw system_error(path_, "cannot put the finished file in place", errno);
  ::close(fd_);  // the data is on the disk: nothing is left to fail
  fd_ = -1;
}

}  // namespace logsum::io
