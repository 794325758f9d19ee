// SPDX-License-Identifier: Apache-2.0
// Executor: where the CPU backend's threads come from. The default is oneTBB; a host with its own
// pool implements these two functions and no second pool is ever started. Results don't depend on
// it.
#pragma once

#include <cstdint>

#include "logsum/export.h"

namespace logsum {

class Executor {
 public:
  virtual ~Executor() = default;

  // How many tasks may run at once; logsum cuts its work accordingly.
  virtual int concurrency() const noexcept = 0;

  // Calls task(argument, i) once for each i in [0, tasks), in any order and on any thread, and
  // returns when all have returned. False if not all could be run.
  using Task = void (*)(void* argument, std::int64_t i);
  virtual bool run(std::int64_t tasks, Task task, void* argument) noexcept = 0;
};

// oneTBB's pool, at the calling thread's arena. Valid for the life of the process.
LOGSUM_API Executor& default_executor() noexcept;

// The calling thread alone.
LOGSUM_API Executor& inline_executor() noexcept;

}  // namespace logsum
