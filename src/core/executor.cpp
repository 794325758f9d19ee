// SPDX-License-Identifier: Apache-2.0
// The two executors logsum brings.
#include "logsum/executor.hpp"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#if defined(__SANITIZE_THREAD__)
#include <atomic>
#include <thread>
#include <vector>
#endif

namespace logsum {
namespace {

#if defined(__SANITIZE_THREAD__)

// ThreadSanitizer knows nothing of what oneTBB, which isn't compiled with it, synchronises: every
// loop would look like a race. Plain threads it understands, and what they share is the same.
class DefaultExecutor final : public Executor {
 public:
  int concurrency() const noexcept override { return 3; }

  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    std::atomic<std::int64_t> next{0};
    const auto work = [&] {
      for (std::int64_t i; (i = next++) < tasks;) task(argument, i);
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < concurrency(); ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    return true;
  }
};

#else

class DefaultExecutor final : public Executor {
 public:
  int concurrency() const noexcept override { return tbb::this_task_arena::max_concurrency(); }

  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    try {
      // Tasks are coarse already (cpu/visit.hpp), so each is stolen alone.
      tbb::parallel_for(
          tbb::blocked_range<std::int64_t>(0, tasks, 1),
          [=](const tbb::blocked_range<std::int64_t>& range) {
            for (std::int64_t i = range.begin(); i < range.end(); ++i) task(argument, i);
          },
          tbb::simple_partitioner());
      return true;
    } catch (...) {
      return false;
    }
  }
};

#endif

class InlineExecutor final : public Executor {
 public:
  int concurrency() const noexcept override { return 1; }
  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    for (std::int64_t i = 0; i < tasks; ++i) task(argument, i);
    return true;
  }
};

}  // namespace

Executor& default_executor() noexcept {
  static DefaultExecutor executor;
  return executor;
}

Executor& inline_executor() noexcept {
  static InlineExecutor executor;
  return executor;
}

}  // namespace logsum
