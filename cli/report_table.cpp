// SPDX-License-Identifier: Apache-2.0
// Results as a table: a line per row (per draw, where there are several), cut in the middle where
// there are many.
#include <fmt/format.h>

#include "report.hpp"

namespace logsum::cli {
namespace {

using Format = std::string (*)(double);

std::string cell(const Column& column, std::size_t i, Format format) {
  if (column.name == kRowStatusName)
    return to_string(static_cast<RowStatus>(std::get<std::vector<std::int32_t>>(column.values)[i]));
  return std::visit(
      [&]<class T>(const std::vector<T>& v) {
        if constexpr (std::is_same_v<T, float>) return format(static_cast<double>(v[i]));
        return fmt::format("{}", v[i]);
      },
      column.values);
}

// The N most likely tokens of a row become N columns "id log-prob".
void add_top(Table& table, const Column& ids, const Column& logprobs,
             const std::vector<std::int64_t>& rows, Format format) {
  for (std::size_t n = 0; n < ids.per_row(); ++n) {
    std::vector<std::string> id, logprob;
    for (const std::int64_t row : rows) {
      const std::size_t i = static_cast<std::size_t>(row) * ids.per_row() + n;
      id.push_back(cell(ids, i, format));
      logprob.push_back(cell(logprobs, i, format));
    }
    id = aligned(id);
    logprob = aligned(logprob);
    TableColumn top{fmt::format("top {}", n + 1), true, {}};
    for (std::size_t i = 0; i < rows.size(); ++i) top.cells.push_back(id[i] + ' ' + logprob[i]);
    table.columns.push_back(std::move(top));
  }
}

// Draws share a column `token`; each gets a line of its own.
std::int64_t draws_of(const Results& results) {
  const Column* token = results.find("token");
  return token != nullptr && token->inner > 0 ? token->inner : 1;
}

Table lines_to_table(const Results& results, const std::vector<std::int64_t>& shown,
                     Format format) {
  const std::int64_t draws = draws_of(results);
  Table table;
  TableColumn row{"row", false, {}};
  TableColumn draw{"draw", false, {}};
  std::vector<std::int64_t> rows;
  for (const std::int64_t line : shown) {
    rows.push_back(line / draws);
    row.cells.push_back(row_name(results.leading(), line / draws));
    draw.cells.push_back(fmt::format("{}", line % draws));
  }
  table.columns.push_back(std::move(row));
  if (draws > 1) {
    table.columns.push_back(std::move(draw));
    table.repeated = 2;
  }

  const Column* ids = results.find("top_ids");
  const Column* logprobs = results.find("top_logprobs");
  for (const Column& column : results.columns()) {
    if (&column == ids || &column == logprobs) continue;
    TableColumn shown_column{column.name, column.name == kRowStatusName, {}, column.with_next};
    for (const std::int64_t line : shown) {
      const std::int64_t i = column.inner > 0 ? line : line / draws;
      shown_column.cells.push_back(cell(column, static_cast<std::size_t>(i), format));
    }
    table.columns.push_back(std::move(shown_column));
  }
  if (ids != nullptr && logprobs != nullptr) add_top(table, *ids, *logprobs, rows, format);

  if (const Column* status = results.find(kRowStatusName))
    for (const std::int64_t at : rows) {
      const RowStatus s = status_of(*status, at);
      table.row_styles.push_back(s == RowStatus::ok        ? Style::plain
                                 : s == RowStatus::ignored ? Style::faint
                                                           : Style::warning);
    }
  return table;
}

}  // namespace

Table rows_to_table(const Results& results, bool all, Format format) {
  const std::int64_t draws = draws_of(results), lines = results.rows() * draws;
  std::vector<std::int64_t> shown;
  std::size_t note_at = SIZE_MAX;
  for (std::int64_t line = 0; line < lines; ++line) {
    if (!all && lines > kShownRows && line == kShownRows / 2) {
      note_at = shown.size();
      line = lines - kShownRows / 2;
    }
    shown.push_back(line);
  }
  Table table = lines_to_table(results, shown, format);
  table.note_at = note_at;
  if (note_at != SIZE_MAX)
    table.note = fmt::format("... {} more {} (--all shows them) ...", lines - kShownRows,
                             draws > 1 ? "draws" : "rows");
  return table;
}

Table rows_to_table(const Results& results, const std::vector<std::int64_t>& rows) {
  return lines_to_table(results, rows, &number);
}

}  // namespace logsum::cli
