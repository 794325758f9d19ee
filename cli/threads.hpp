// SPDX-License-Identifier: Apache-2.0
// An Executor of a given number of threads: what --threads asks for.
#pragma once

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>

#include <optional>

#include "logsum/executor.hpp"

namespace logsum::cli {

class ThreadLimit final : public Executor {
 public:
  // 0: all of the machine's.
  explicit ThreadLimit(int threads) : arena_(threads > 0 ? threads : tbb::task_arena::automatic) {
    // More threads than cores: TBB would warn on stderr and start no more than there are cores.
    if (threads > tbb::info::default_concurrency())
      limit_.emplace(tbb::global_control::max_allowed_parallelism,
                     static_cast<std::size_t>(threads));
    arena_.initialize();
  }

  int concurrency() const noexcept override { return arena_.max_concurrency(); }

  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    if (concurrency() == 1) return inline_executor().run(tasks, task, argument);
    try {
      return arena_.execute([&] { return default_executor().run(tasks, task, argument); });
    } catch (...) {
      return false;
    }
  }

 private:
  std::optional<tbb::global_control> limit_;
  tbb::task_arena arena_;
};

}  // namespace logsum::cli
