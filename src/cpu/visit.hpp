// SPDX-License-Identifier: Apache-2.0
// The row visit on the CPU: every tile of every row is loaded and measured, then each row is
// finished from its records. Where there are enough rows a thread does both for a row while it is
// in cache; where there are few, threads share the tiles of a row. The bits are the same: records
// don't know who made them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "core/fp_environment.hpp"
#include "core/row_blocks.hpp"
#include "cpu/kernels.hpp"
#include "logsum/context.hpp"
#include "logsum/status.hpp"

namespace logsum::cpu {

inline Executor& executor_of(const Context& context) {
  return context.executor ? *context.executor : default_executor();
}

// A host's pool may say anything.
inline int threads_of(Executor& executor) { return std::clamp(executor.concurrency(), 1, 4096); }

// Room that each task of a call has to itself, where an operation asks for some; there are then no
// more tasks than rooms.
struct TaskRooms {
  std::byte* data = nullptr;
  std::int64_t count = 0;
  std::int64_t bytes = 0;  // of each
};

// Rooms for staging at `data`, of the workspace that RowBlocks asks for.
inline TaskRooms staging_rooms(void* data, const RowBlocks& blocks) {
  return {static_cast<std::byte*>(data), blocks.rooms(), blocks.room_bytes()};
}

struct TaskScratch : TileScratch {
  std::byte* room = nullptr;
};

// Runs body(row, scratch) for each row in [0, count), cut into a few contiguous spans per thread.
// What a body throws (it may run out of memory) doesn't reach the executor.
template <class Body>
Status parallel_rows(const Context& context, std::int64_t count, const Body& body,
                     const TaskRooms& rooms = {}) {
  Executor& executor = executor_of(context);
  struct Job {
    std::int64_t count, tasks;
    const Body& body;
    const TaskRooms& rooms;
    std::atomic<bool> failed = false;
  };
  constexpr int kTasksPerThread = 8;  // evens out threads that start late or run slow
  const std::int64_t wanted = kTasksPerThread * threads_of(executor);
  const std::int64_t tasks = std::min({count, wanted, rooms.count > 0 ? rooms.count : wanted});
  Job job{count, tasks, body, rooms};
  const auto task = [](void* argument, std::int64_t i) {
    Job& j = *static_cast<Job*>(argument);
    const FpEnvironment environment;
    TaskScratch scratch;
    if (j.rooms.count > 0) scratch.room = j.rooms.data + i * j.rooms.bytes;
    const std::int64_t end = j.count / j.tasks * (i + 1) + std::min(i + 1, j.count % j.tasks);
    try {
      for (std::int64_t k = j.count / j.tasks * i + std::min(i, j.count % j.tasks); k < end; ++k)
        j.body(k, scratch);
    } catch (...) {
      j.failed = true;
    }
  };
  if (!executor.run(tasks, task, &job))
    return Status::error(StatusCode::internal, "the executor couldn't run all tasks");
  if (job.failed) return Status::error(StatusCode::out_of_memory, "out of memory");
  return {};
}

struct NoEmit {
  void operator()(std::int64_t, std::int64_t, std::int64_t, TileScratch&) const {}
};

// Whether there are enough rows to give each of them to one thread.
inline bool are_many(const Context& context, std::int64_t rows) {
  const int threads = threads_of(executor_of(context));
  return rows >= 2 * threads || threads == 1;
}

// body(row, first, last, scratch) for runs of the tiles of few rows: each is cut into so many that
// every thread has some.
template <class Body>
Status parallel_runs(const Context& context, std::int64_t rows, std::int64_t tiles,
                     const Body& body, const TaskRooms& rooms = {}) {
  const int threads = threads_of(executor_of(context));
  const std::int64_t runs = std::min<std::int64_t>(tiles, 4 * threads / rows + 1);
  return parallel_rows(
      context, rows * runs,
      [&](std::int64_t i, TaskScratch& scratch) {
        const std::int64_t run = i % runs;
        body(i / runs, tiles * run / runs, tiles * (run + 1) / runs, scratch);
      },
      rooms);
}

// measure(row, first, last, scratch) for runs of tiles that make up each row; finish(row, scratch)
// once per row after all of its tiles; then, where the row itself is written, emit(row, first,
// last, scratch) for runs that make it up.
template <class Measure, class Finish, class Emit = NoEmit>
Status visit_runs(const Context& context, std::int64_t rows, std::int64_t tiles,
                  const Measure& measure, const Finish& finish, const Emit& emit = {},
                  const TaskRooms& rooms = {}) {
  if (are_many(context, rows)) {
    return parallel_rows(
        context, rows,
        [&](std::int64_t row, TaskScratch& scratch) {
          measure(row, 0, tiles, scratch);
          finish(row, scratch);
          emit(row, 0, tiles, scratch);
        },
        rooms);
  }
  LOGSUM_RETURN_IF_ERROR(parallel_runs(context, rows, tiles, measure, rooms));
  LOGSUM_RETURN_IF_ERROR(parallel_rows(context, rows, finish));
  if constexpr (std::is_same_v<Emit, NoEmit>)
    return {};
  else
    return parallel_runs(context, rows, tiles, emit, rooms);
}

}  // namespace logsum::cpu
