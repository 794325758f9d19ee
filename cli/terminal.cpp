// SPDX-License-Identifier: Apache-2.0
#include "terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "errors.hpp"

namespace logsum::cli {
namespace {

[[noreturn]] void stdout_failed() {
  throw DataError(std::string("cannot write to standard output: ") + std::strerror(errno));
}

}  // namespace

int terminal_width(int fd) {
  winsize size = {};
  if (::isatty(fd) == 0) return 0;
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool can_redraw_lines(int fd) {
  const char* term = std::getenv("TERM");
  return ::isatty(fd) != 0 && (term == nullptr || std::strcmp(term, "dumb") != 0);
}

bool may_use_colour(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  return can_redraw_lines(fd) && (no_color == nullptr || *no_color == '\0');
}

void write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) stdout_failed();
}

void flush_stdout() {
  if (std::fflush(stdout) != 0) stdout_failed();
}

}  // namespace logsum::cli
