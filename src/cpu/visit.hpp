// SPDX-License-Identifier: Apache-2.0
// The row visit on the CPU: every tile of every row is loaded and measured, then each row is
// finished from its records. Where there are enough rows a thread does both for a row while it is
// in cache; where there are few, threads share the tiles of a row. The bits are the same: records
// don't know who made them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/fp_environment.hpp"
#include "cpu/kernels.hpp"
#include "logsum/context.hpp"
#include "logsum/status.hpp"

namespace logsum::cpu {

inline Executor& executor_of(const Context& context) {
  return context.executor ? *context.executor : default_executor();
}

// Runs body(i, scratch) for each i in [0, count), cut into a few contiguous spans per thread.
template <class Body>
bool parallel_spans(Executor& executor, std::int64_t count, const Body& body) {
  struct Job {
    std::int64_t count, tasks;
    const Body& body;
  };
  constexpr int kTasksPerThread = 8;  // evens out threads that start late or run slow
  const std::int64_t tasks =
      std::min<std::int64_t>(count, kTasksPerThread * std::max(1, executor.concurrency()));
  Job job{count, tasks, body};
  const auto task = [](void* argument, std::int64_t i) {
    const Job& j = *static_cast<const Job*>(argument);
    const FpEnvironment environment;
    TileScratch scratch;
    const std::int64_t end = j.count / j.tasks * (i + 1) + std::min(i + 1, j.count % j.tasks);
    for (std::int64_t k = j.count / j.tasks * i + std::min(i, j.count % j.tasks); k < end; ++k)
      j.body(k, scratch);
  };
  return executor.run(tasks, task, &job);
}

inline Status executor_failed() {
  return Status::error(StatusCode::internal, "the executor couldn't run all tasks");
}

// finish(row, scratch) once per row, for operations that measure nothing.
template <class Finish>
Status parallel_rows(const Context& context, std::int64_t rows, const Finish& finish) {
  return parallel_spans(executor_of(context), rows, finish) ? Status() : executor_failed();
}

// measure(row, tile, scratch) for every tile, finish(row, scratch) once per row after all of its
// tiles.
template <class Measure, class Finish>
Status visit(const Context& context, std::int64_t rows, std::int64_t tiles, const Measure& measure,
             const Finish& finish) {
  Executor& executor = executor_of(context);
  bool ran;
  if (rows >= 2 * executor.concurrency() || executor.concurrency() == 1) {
    ran = parallel_spans(executor, rows, [&](std::int64_t row, TileScratch& scratch) {
      for (std::int64_t tile = 0; tile < tiles; ++tile) measure(row, tile, scratch);
      finish(row, scratch);
    });
  } else {
    ran = parallel_spans(executor, rows * tiles,
                         [&](std::int64_t i, TileScratch& scratch) {
                           measure(i / tiles, i % tiles, scratch);
                         }) &&
          parallel_spans(executor, rows, finish);
  }
  return ran ? Status() : executor_failed();
}

// As visit, with measure(row, first, last) for runs of a row's tiles, and fewer calls.
template <class Measure, class Finish>
Status visit_runs(const Context& context, std::int64_t rows, std::int64_t tiles,
                  const Measure& measure, const Finish& finish) {
  Executor& executor = executor_of(context);
  const int threads = std::max(1, executor.concurrency());
  if (rows >= 2 * threads || threads == 1) {
    return parallel_rows(context, rows, [&](std::int64_t row, TileScratch& scratch) {
      measure(row, 0, tiles);
      finish(row, scratch);
    });
  }
  // Few rows: each is cut into so many runs that every thread has some.
  const std::int64_t runs = std::min<std::int64_t>(tiles, 4 * threads / rows + 1);
  LOGSUM_RETURN_IF_ERROR(parallel_rows(context, rows * runs, [&](std::int64_t i, TileScratch&) {
    const std::int64_t run = i % runs;
    measure(i / runs, tiles * run / runs, tiles * (run + 1) / runs);
  }));
  return parallel_rows(context, rows, finish);
}

}  // namespace logsum::cpu
