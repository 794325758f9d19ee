// SPDX-License-Identifier: Apache-2.0
// logsum bench: operations × dtypes × threads on this machine, beside the limit and a plain libm
// loop.
//
// The limit of a row visit is the larger of the time to stream the row's bytes and the time of 12
// vector instructions per logit at the FMA rate, both measured in the same run with as many
// threads.
#include "bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "bench_operations.hpp"
#include "errors.hpp"
#include "io/file_error.hpp"
#include "machine_limits.hpp"
#include "terminal.hpp"
#include "threads.hpp"

namespace logsum::cli {
namespace {

constexpr double kInstructionsPerLogit = 12;

double median_seconds(int repeats, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i <= repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (i > 0) times.push_back(elapsed.count());  // the first warms up
  }
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[static_cast<std::size_t>(repeats / 2)];
}

struct Line {
  std::string operation;
  DType dtype;
  std::int64_t rows, columns;
  int threads;
  double seconds, limit_seconds;  // limit 0: none applies
};

// Seconds in which `rows` rows can be visited at best.
double limit(const BenchLogits& z, std::int64_t rows, double stream_rate, double fma) {
  const double logits = static_cast<double>(rows * z.columns());
  return std::max(logits * static_cast<double>(size_of(z.dtype())) / stream_rate,
                  logits * kInstructionsPerLogit / fma);
}

// Bytes per second that `threads` threads read together.
double stream_rate(const BenchLogits& z, Executor& executor, SimdTarget simd, int repeats) {
  struct Job {
    const BenchLogits& z;
    SimdTarget simd;
    std::size_t piece;
  } job{z, simd, z.bytes() / static_cast<std::size_t>(executor.concurrency())};
  if (job.piece >= 4096) job.piece -= job.piece % 4096;  // whole pages
  const double seconds = median_seconds(repeats, [&] {
    executor.run(
        executor.concurrency(),
        [](void* argument, std::int64_t i) {
          const Job& j = *static_cast<const Job*>(argument);
          volatile unsigned sink = read_memory(
              j.simd, static_cast<const char*>(j.z.data()) + static_cast<std::size_t>(i) * j.piece,
              j.piece);
          (void)sink;
        },
        &job);
  });
  return static_cast<double>(job.piece) * executor.concurrency() / seconds;
}

void print_table(const std::vector<Line>& lines, double fma) {
  write_stdout(fmt::format(
      "one thread: {:.1f} G FMA lanes/s, so 12 instructions per logit allow {:.2f} G logits/s\n\n",
      fma / 1e9, fma / kInstructionsPerLogit / 1e9));
  write_stdout(fmt::format("{:<27} {:>5} {:>14} {:>8} {:>11} {:>12} {:>10}\n", "operation", "dtype",
                           "shape", "threads", "time", "G logits/s", "of limit"));
  for (const Line& line : lines) {
    const double logits = static_cast<double>(line.rows * line.columns);
    write_stdout(fmt::format(
        "{:<27} {:>5} {:>14} {:>8} {:>8.3f} ms {:>12.3f} {:>10}\n", line.operation,
        to_string(line.dtype), fmt::format("{} x {}", line.rows, line.columns), line.threads,
        line.seconds * 1e3, logits / line.seconds / 1e9,
        line.limit_seconds > 0 ? fmt::format("{:.0f} %", 100 * line.limit_seconds / line.seconds)
                               : std::string("-")));
  }
}

void print_json(const std::vector<Line>& lines, double fma) {
  nlohmann::ordered_json json;
  json["fma_lanes_per_second"] = fma;
  json["instructions_per_logit"] = kInstructionsPerLogit;
  json["results"] = nlohmann::ordered_json::array();
  for (const Line& line : lines) {
    nlohmann::ordered_json entry = {{"operation", line.operation}, {"dtype", to_string(line.dtype)},
                                    {"rows", line.rows},           {"columns", line.columns},
                                    {"threads", line.threads},     {"seconds", line.seconds}};
    if (line.limit_seconds > 0) entry["fraction_of_limit"] = line.limit_seconds / line.seconds;
    json["results"].push_back(entry);
  }
  write_stdout(json.dump(2) + '\n');
}

}  // namespace

int run_bench(const BenchOptions& options) {
  const double fma = fma_rate(options.simd);
  const int repeats = options.repeats > 0 ? options.repeats : 7;
  const std::vector<std::int64_t> vocab =
      options.vocab.empty() ? std::vector<std::int64_t>{131072} : options.vocab;
  std::vector<int> thread_counts = {1};
  ThreadLimit all(0);
  if (options.threads > 0)
    thread_counts = {options.threads};
  else if (all.concurrency() > 1)
    thread_counts.push_back(all.concurrency());

  std::vector<Line> lines;
  for (const std::int64_t columns : vocab) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const std::int64_t rows =
          options.rows > 0 ? options.rows : std::max<std::int64_t>(2, (64 << 20) / columns);
      const BenchLogits z(rows, columns, dtype, options.data);
      const std::vector<BenchOperation> operations = bench_operations(z);
      for (const int threads : thread_counts) {
        ThreadLimit executor(threads);
        const double stream = stream_rate(z, executor, options.simd, repeats);
        const Context context{.executor = &executor, .simd = options.simd};
        for (const BenchOperation& operation : operations) {
          if (operation.name.find(options.filter) == std::string::npos) continue;
          if (!operation.is_threaded && threads > 1) continue;
          if (operation.prepare) operation.prepare();
          const double seconds = median_seconds(repeats, [&] { operation.run(context); });
          lines.push_back(
              {operation.name, dtype, operation.rows, columns, threads, seconds,
               operation.reads_once ? limit(z, operation.rows, stream, fma * threads) : 0.0});
        }
      }
    }
  }
  if (lines.empty())
    throw UsageError(io::in_quotes(options.filter) + " is in the name of no operation (--filter)");
  if (options.json)
    print_json(lines, fma);
  else
    print_table(lines, fma);
  flush_stdout();
  return 0;
}

}  // namespace logsum::cli
