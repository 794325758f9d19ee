// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

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

}  // namespace

void print_gpu_table(const BenchOptions& options, const DeviceInfo& device, int repeats,
                     const std::vector<GpuLine>& lines) {
  std::vector<std::vector<std::string>> cells;
  for (const GpuLine& line : lines) {
    const auto& [cold, warm, graph] = line.per_device;
    cells.push_back({line.operation, to_string(line.shape.dtype),
                     fmt::format("{} x {}", line.shape.rows, line.shape.columns), micro(cold),
                     micro(warm), micro(graph),
                     fmt::format("{} {}", line.limit_name, micro(line.limit)),
                     percent(line.limit, graph), micro(line.cross_device.graph),
                     fmt::format("{:+.0f} %", 100 * (line.cross_device.graph / graph - 1))});
  }
  const Table table = table_of({"operation", "dtype", "shape", "cold us", "warm us", "in graph us",
                                "limit us", "of it", "cross-device us", "costs"},
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
  for (const GpuLine& line : lines)
    for (const auto& [determinism, times] :
         {std::pair("per-device", line.per_device), std::pair("cross-device", line.cross_device)})
      json["results"].push_back({{"operation", line.operation},
                                 {"dtype", to_string(line.shape.dtype)},
                                 {"rows", line.shape.rows},
                                 {"columns", line.shape.columns},
                                 {"determinism", determinism},
                                 {"inputs", line.inputs},
                                 {"cold_seconds", times.cold},
                                 {"warm_seconds", times.warm},
                                 {"graph_seconds", times.graph},
                                 {"limit", line.limit_name},
                                 {"limit_seconds", line.limit},
                                 {"fraction_of_limit", line.limit / times.graph}});
  write_stdout(json.dump(2) + '\n');
}

}  // namespace logsum::cli
