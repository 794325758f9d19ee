// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "terminal.hpp"

namespace logsum::cli {
namespace {

constexpr auto kQuietTime = std::chrono::seconds(1);
constexpr auto kInterval = std::chrono::milliseconds(100);

std::string clock_text(double seconds) {
  const auto s = static_cast<long>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace

Progress::Progress(const char* what, double total_bytes, bool quiet)
    : what_(what), total_(total_bytes), enabled_(!quiet && can_redraw_lines(STDERR_FILENO)) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::update(double done_bytes) {
  if (!enabled_ || total_ <= 0) return;
  const auto now = Clock::now();
  if (now - start_ < kQuietTime || now - last_ < kInterval) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double done = std::clamp(done_bytes / total_, 0.0, 1.0);
  const std::string left = done > 0 ? clock_text(seconds / done * (1 - done)) : "?";
  const std::string text =
      fmt::format(" {:3.0f} %  {:.2f} GB/s  {} left", 100 * done, done_bytes / seconds / 1e9, left);
  const int room = terminal_width(STDERR_FILENO) - 1 - static_cast<int>(text.size()) -
                   static_cast<int>(std::char_traits<char>::length(what_)) - 3;
  const int width = std::clamp(room, 0, 40);
  const int filled = static_cast<int>(done * width);
  std::string bar;
  if (width >= 5)
    bar = fmt::format(" [{}{}]", std::string(static_cast<std::size_t>(filled), '#'),
                      std::string(static_cast<std::size_t>(width - filled), '-'));
  // Clears to the end of the line: a wider line may stand there.
  fmt::print(stderr, "\r{}{}{}\033[K", what_, bar, text);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace logsum::cli
