// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>

#include "errors.hpp"
#include "io/file_error.hpp"
#include "row_blocks.hpp"
#include "terminal.hpp"

namespace logsum::cli {

void report(const Results& results, const Summary& summary, const ReportOptions& options) {
  if (options.output) write_tensors(results, options);
  if (options.json) {
    write_stdout(rows_to_json(results, summary.json));
  } else if (!options.quiet) {
    const bool colour = may_use_colour(STDOUT_FILENO);
    // With --output the rows are in the file.
    if (!options.output && results.rows() > 0)
      write_stdout(
          to_text(rows_to_table(results, options.all), terminal_width(STDOUT_FILENO), colour) +
          '\n');
    write_stdout(summary.facts.to_text(terminal_width(STDOUT_FILENO), colour));
    if (options.output)
      write_stdout(fmt::format("\n  wrote {}\n", io::printable(*options.output, 4096)));
  }
  flush_stdout();
}

nlohmann::ordered_json count_statuses(const Column& row_status, std::int64_t rows) {
  std::int64_t counts[kRowStatuses] = {};
  for (std::int64_t row = 0; row < rows; ++row)
    ++counts[static_cast<int>(status_of(row_status, row))];
  auto json = nlohmann::ordered_json::object();
  for (int i = 0; i < kRowStatuses; ++i)
    if (counts[i] > 0) json[to_string(static_cast<RowStatus>(i))] = counts[i];
  return json;
}

std::string describe_statuses(const nlohmann::ordered_json& counts) {
  std::string text;
  for (const auto& [name, count] : counts.items())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count.get<std::int64_t>(), name);
  return text.empty() ? "0" : text;
}

double mean_of_ok(const Column& values, const Column& row_status) {
  const auto& v = std::get<std::vector<float>>(values.values);
  double sum = 0;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (status_of(row_status, static_cast<std::int64_t>(i / values.per_row())) != RowStatus::ok)
      continue;
    sum += static_cast<double>(v[i]);
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : std::nan("");
}

}  // namespace logsum::cli
