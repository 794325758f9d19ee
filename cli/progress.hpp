// SPDX-License-Identifier: Apache-2.0
// A progress bar on stderr: only on a terminal, only for work that has taken a second, and gone
// when the work is done.
#pragma once

#include <chrono>

namespace logsum::cli {

class Progress {
 public:
  // `what` is a verb in -ing, of static duration.
  Progress(const char* what, double total_bytes, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(double done_bytes);

 private:
  using Clock = std::chrono::steady_clock;

  const char* what_;
  double total_;
  bool enabled_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace logsum::cli
