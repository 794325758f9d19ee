// SPDX-License-Identifier: Apache-2.0
// Executors that no host would write: any number of threads, tasks in any order, or none run at
// all.
#pragma once

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "logsum/executor.hpp"

namespace logsum::test {

// Starts its threads for each run; they take tasks as they come.
class ThreadsExecutor final : public Executor {
 public:
  explicit ThreadsExecutor(int threads) : threads_(threads) {}
  int concurrency() const noexcept override { return threads_; }
  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    std::atomic<std::int64_t> next{0};
    const auto work = [&] {
      for (std::int64_t i = next++; i < tasks; i = next++) task(argument, i);
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads_; ++i) others.emplace_back(work);
    work();
    for (std::thread& t : others) t.join();
    return true;
  }

 private:
  int threads_;
};

// One thread that says it is many, and takes the tasks in a random order.
class ShuffledExecutor final : public Executor {
 public:
  ShuffledExecutor(int concurrency, std::uint32_t seed)
      : concurrency_(concurrency), random_(seed) {}
  int concurrency() const noexcept override { return concurrency_; }
  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    std::vector<std::int64_t> order(static_cast<std::size_t>(tasks));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random_);
    for (const std::int64_t i : order) task(argument, i);
    return true;
  }

 private:
  int concurrency_;
  std::mt19937 random_;
};

// Claims `concurrency` threads and runs its tasks backwards: whatever depends on how many tasks
// there are or who comes first shows.
class BackwardsExecutor final : public Executor {
 public:
  explicit BackwardsExecutor(int threads) : threads_(threads) {}
  int concurrency() const noexcept override { return threads_; }
  bool run(std::int64_t tasks, Task task, void* argument) noexcept override {
    for (std::int64_t i = tasks - 1; i >= 0; --i) task(argument, i);
    return true;
  }

 private:
  int threads_;
};

// Runs nothing and says so.
class BrokenExecutor final : public Executor {
 public:
  int concurrency() const noexcept override { return 2; }
  bool run(std::int64_t, Task, void*) noexcept override { return false; }
};

}  // namespace logsum::test
