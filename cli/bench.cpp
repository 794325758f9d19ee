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
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>

#include "errors.hpp"
#include "io/file_error.hpp"
#include "logsum/sample.hpp"
#include "logsum/softmax.hpp"
#include "logsum/token_logprobs.hpp"
#include "machine_limits.hpp"
#include "threads.hpp"

namespace logsum::cli {
namespace {

constexpr double kInstructionsPerLogit = 12;

// Rows of random logits as a language model gives them (spread 2.5), from one stretch of random
// numbers read at a different start in each row.
class Logits {
 public:
  Logits(std::int64_t rows, std::int64_t columns, DType dtype)
      : rows_(rows), columns_(columns), dtype_(dtype) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 2.5f);
    std::vector<float> stretch(static_cast<std::size_t>(columns) + 4099);
    for (float& x : stretch) x = normal(random);
    const auto count = static_cast<std::size_t>(rows * columns);
    if (dtype == DType::f32) f32_.resize(count);
    if (dtype == DType::bf16) bf16_.resize(count);
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* from = stretch.data() + row * 7 % 4099;
      for (std::int64_t i = 0; i < columns; ++i) {
        const auto at = static_cast<std::size_t>(row * columns + i);
        if (dtype == DType::f32) f32_[at] = from[i];
        if (dtype == DType::bf16) bf16_[at] = BFloat16(from[i]);
      }
    }
  }

  const void* data() const {
    return dtype_ == DType::f32 ? static_cast<const void*>(f32_.data()) : bf16_.data();
  }
  std::size_t bytes() const { return static_cast<std::size_t>(rows_ * columns_) * size_of(dtype_); }
  Tensor tensor(std::int64_t rows) const {
    const std::int64_t shape[] = {rows, columns_};
    return Tensor::contiguous(const_cast<void*>(data()), dtype_, shape);
  }
  float value(std::size_t i) const {
    return dtype_ == DType::f32 ? f32_[i] : static_cast<float>(bf16_[i]);
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  DType dtype() const { return dtype_; }

 private:
  std::int64_t rows_, columns_;
  DType dtype_;
  std::vector<float> f32_;
  std::vector<BFloat16> bf16_;
};

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

void check(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

// An operation over the rows of a batch, with room for its outputs.
struct Operation {
  std::string name;
  std::int64_t rows;  // how many rows it works on
  bool reads_once;    // each row, and writes none: the limit applies
  bool is_threaded;
  std::function<void(const Context&)> run;
};

struct Outputs {
  std::vector<std::int64_t> targets, token;
  std::vector<float> logprobs, lse, entropy;
  std::vector<std::byte> rows;  // of the logits' size
};

std::vector<Operation> operations(const Logits& z, Outputs& out) {
  const std::int64_t rows = z.rows();
  constexpr std::int64_t kDraws = 64;
  out.targets.resize(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < out.targets.size(); ++i)
    out.targets[i] = static_cast<std::int64_t>(i) * 7919 % z.columns();
  out.token.resize(static_cast<std::size_t>(std::max(rows, kDraws)));
  out.logprobs.resize(out.token.size());
  out.lse.resize(out.token.size());
  out.entropy.resize(out.token.size());

  const auto score = [&z, &out](std::int64_t n, bool entropy) {
    return [&z, &out, n, entropy](const Context& context) {
      check(token_logprobs({.logits = z.tensor(n),
                            .targets = Tensor::of(out.targets.data(), {n}),
                            .logprobs = Tensor::of(out.logprobs.data(), {n}),
                            .lse = Tensor::of(out.lse.data(), {n}),
                            .entropy = entropy ? Tensor::of(out.entropy.data(), {n}) : Tensor()},
                           context));
    };
  };
  const auto draw = [&z, &out](std::int64_t n, std::int64_t draws) {
    return [&z, &out, n, draws](const Context& context) {
      check(sample({.logits = z.tensor(n),
                    .token = Tensor::of(out.token.data(), {n, draws}),
                    .logprob = Tensor::of(out.logprobs.data(), {n, draws}),
                    .draws = draws},
                   context));
    };
  };
  const auto write = [&z, &out](Status (*op)(const SoftmaxArgs&, const Context&) noexcept) {
    return [&z, &out, op](const Context& context) {
      out.rows.resize(z.bytes());
      const std::int64_t shape[] = {z.rows(), z.columns()};
      check(op({.logits = z.tensor(z.rows()),
                .output = Tensor::contiguous(out.rows.data(), z.dtype(), shape)},
               context));
    };
  };
  const auto scalar = [&z, &out](const Context&) {
    for (std::int64_t row = 0; row < std::min<std::int64_t>(2, z.rows()); ++row) {
      const auto begin = static_cast<std::size_t>(row * z.columns());
      const auto end = begin + static_cast<std::size_t>(z.columns());
      float max = -INFINITY;
      for (std::size_t i = begin; i < end; ++i) max = std::max(max, z.value(i));
      double sum = 0;
      for (std::size_t i = begin; i < end; ++i)
        sum += static_cast<double>(std::exp(z.value(i) - max));
      out.lse[static_cast<std::size_t>(row)] = max + static_cast<float>(std::log(sum));
    }
  };
  return {{"token_logprobs", rows, true, true, score(rows, false)},
          {"token_logprobs + entropy", rows, true, true, score(rows, true)},
          {"sample", rows, true, true, draw(rows, 1)},
          {"sample, one row", 1, true, true, draw(1, 1)},
          {"sample, one row, 64 draws", 1, true, true, draw(1, kDraws)},
          {"softmax", rows, false, true, write(softmax)},
          {"log_softmax", rows, false, true, write(log_softmax)},
          {"plain libm loop", std::min<std::int64_t>(2, rows), false, false, scalar}};
}

struct Line {
  std::string operation;
  DType dtype;
  std::int64_t rows, columns;
  int threads;
  double seconds, limit_seconds;  // limit 0: none applies
};

// Seconds in which `rows` rows can be visited at best.
double limit(const Logits& z, std::int64_t rows, double stream_rate, double fma) {
  const double logits = static_cast<double>(rows * z.columns());
  return std::max(logits * static_cast<double>(size_of(z.dtype())) / stream_rate,
                  logits * kInstructionsPerLogit / fma);
}

// Bytes per second that `threads` threads read together.
double stream_rate(const Logits& z, Executor& executor, SimdTarget simd, int repeats) {
  struct Job {
    const Logits& z;
    SimdTarget simd;
    std::size_t piece;
  } job{z, simd, z.bytes() / static_cast<std::size_t>(executor.concurrency()) / 4096 * 4096};
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
  fmt::print(
      "one thread: {:.1f} G FMA lanes/s, so 12 instructions per logit allow {:.2f} G logits/s\n\n",
      fma / 1e9, fma / kInstructionsPerLogit / 1e9);
  fmt::print("{:<27} {:>5} {:>14} {:>8} {:>11} {:>12} {:>10}\n", "operation", "dtype", "shape",
             "threads", "time", "G logits/s", "of limit");
  for (const Line& line : lines) {
    const double logits = static_cast<double>(line.rows * line.columns);
    fmt::print("{:<27} {:>5} {:>14} {:>8} {:>8.3f} ms {:>12.3f} {:>10}\n", line.operation,
               to_string(line.dtype), fmt::format("{} x {}", line.rows, line.columns), line.threads,
               line.seconds * 1e3, logits / line.seconds / 1e9,
               line.limit_seconds > 0
                   ? fmt::format("{:.0f} %", 100 * line.limit_seconds / line.seconds)
                   : std::string("-"));
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
  fmt::print("{}\n", json.dump(2));
}

}  // namespace

int run_bench(const BenchOptions& options) {
  const double fma = fma_rate(options.simd);
  std::vector<int> thread_counts = {1};
  ThreadLimit all(0);
  if (options.threads > 0)
    thread_counts = {options.threads};
  else if (all.concurrency() > 1)
    thread_counts.push_back(all.concurrency());

  std::vector<Line> lines;
  for (const std::int64_t columns : options.vocab) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const std::int64_t rows =
          options.rows > 0 ? options.rows : std::max<std::int64_t>(2, (64 << 20) / columns);
      const Logits z(rows, columns, dtype);
      Outputs outputs;
      for (const int threads : thread_counts) {
        ThreadLimit executor(threads);
        const double stream = stream_rate(z, executor, options.simd, options.repeats);
        const Context context{.executor = &executor, .simd = options.simd};
        for (const Operation& operation : operations(z, outputs)) {
          if (operation.name.find(options.filter) == std::string::npos) continue;
          if (!operation.is_threaded && threads > 1) continue;
          const double seconds = median_seconds(options.repeats, [&] { operation.run(context); });
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
  return 0;
}

}  // namespace logsum::cli
