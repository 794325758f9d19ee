// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gpu_bench.hpp"
#include "gpus.hpp"
#include "table.hpp"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

std::string micro(double seconds) { return fmt::format("{:.2f}", seconds * 1e6); }

std::string percent(double part, double whole) {
  return fmt::format("{:.0f} %", 100 * part / whole);
}

nlohmann::ordered_json entry(const GpuLine& line, const char* determinism, const GpuTimes& times) {
  return {{"operation", line.operation},  {"dtype", to_string(line.shape.dtype)},
          {"rows", line.shape.rows},      {"columns", line.shape.columns},
          {"determinism", determinism},   {"inputs", line.inputs},
          {"cold_seconds", times.cold},   {"warm_seconds", times.warm},
          {"graph_seconds", times.graph}, {"limit", line.limit_name},
          {"limit_seconds", line.limit},  {"fraction_of_limit", line.limit / times.graph}};
}

}  // namespace

double GpuLine::spread() const {
  double slowest = 0, fastest = 1e9;
  for (const auto& [data, seconds] : graph_by_data) {
    slowest = std::max(slowest, seconds);
    fastest = std::min(fastest, seconds);
  }
  return slowest / fastest;
}

void print_gpu_table(const BenchOptions& options, const DeviceInfo& device, int repeats,
                     const std::vector<GpuLine>& lines) {
  std::vector<std::vector<std::string>> cells;
  for (const GpuLine& line : lines) {
    const auto& [cold, warm, graph] = line.per_device;
    cells.push_back(
        {line.operation, to_string(line.shape.dtype),
         fmt::format("{} x {}", line.shape.rows, line.shape.columns), micro(cold), micro(warm),
         micro(graph),
         line.limit > 0 ? fmt::format("{} {}", line.limit_name, micro(line.limit)) : "-",
         line.limit > 0 ? percent(line.limit, graph) : "-", fmt::format("{:.2f}", line.spread()),
         micro(line.cross_device.graph),
         fmt::format("{:+.0f} %", 100 * (line.cross_device.graph / graph - 1))});
  }
  const Table table = table_of({"operation", "dtype", "shape", "cold us", "warm us", "in graph us",
                                "limit us", "of it", "spread", "cross-device us", "costs"},
                               3, cells);
  write_stdout(fmt::format("{}; {} logits, median of {}\n\n", describe(device),
                           to_string(options.data), repeats));
  write_stdout(to_text(table, terminal_width(STDOUT_FILENO), may_use_colour(STDOUT_FILENO)));
}

void print_gpu_json(const BenchOptions& options, const DeviceInfo& device, int repeats,
                    const std::vector<GpuLine>& lines) {
  nlohmann::ordered_json json = {{"device", device.name},
                                 {"cuda", cuda_to_json()},
                                 {"data", to_string(options.data)},
                                 {"repeats", repeats},
                                 {"results", nlohmann::ordered_json::array()}};
  for (const GpuLine& line : lines) {
    auto own = entry(line, "per-device", line.per_device);
    for (const auto& [data, seconds] : line.graph_by_data)
      own["graph_seconds_by_data"][to_string(data)] = seconds;
    own["spread"] = line.spread();
    json["results"].push_back(own);
    json["results"].push_back(entry(line, "cross-device", line.cross_device));
  }
  write_stdout(json.dump(2) + '\n');
}

}  // namespace logsum::cli
