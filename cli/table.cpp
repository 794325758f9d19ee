// SPDX-License-Identifier: Apache-2.0
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace logsum::cli {
namespace {

constexpr std::string_view kGap = "  ";

std::size_t point_of(const std::string& cell) { return std::min(cell.find('.'), cell.size()); }

// Cells padded to one width.
struct Laid {
  std::string header;
  std::vector<std::string> cells;
};

Laid lay_out(const TableColumn& column) {
  Laid laid{column.header, column.is_text ? column.cells : aligned(column.cells)};
  std::size_t width = column.header.size();
  for (const std::string& cell : laid.cells) width = std::max(width, cell.size());
  const auto pad = [&](std::string& text) {
    text = column.is_text ? fmt::format("{:<{}}", text, width) : fmt::format("{:>{}}", text, width);
  };
  pad(laid.header);
  for (std::string& cell : laid.cells) pad(cell);
  return laid;
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::string styled(const std::string& text, Style style, bool colour) {
  if (!colour || style == Style::plain) return text;
  const char* code = style == Style::bold      ? "1"
                     : style == Style::faint   ? "2"
                     : style == Style::warning ? "33"
                                               : "32";
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

Table table_of(std::initializer_list<const char*> headers, std::size_t texts,
               const std::vector<std::vector<std::string>>& lines) {
  Table table;
  for (const char* header : headers) {
    const std::size_t at = table.columns.size();
    TableColumn column{header, at < texts, {}};
    for (const auto& line : lines) column.cells.push_back(line[at]);
    table.columns.push_back(std::move(column));
  }
  return table;
}

std::string to_text(const Table& table, int width, bool colour) {
  std::vector<Laid> laid;
  for (const TableColumn& column : table.columns) laid.push_back(lay_out(column));
  const std::size_t rows = table.columns.empty() ? 0 : table.columns.front().cells.size();

  const auto width_of = [&](std::size_t i) { return kGap.size() + laid[i].header.size(); };
  // A column that others stay with needs room for all of them, where it is the first.
  const auto needed_from = [&](std::size_t i) {
    std::size_t needed = width_of(i);
    if (table.columns[i - 1].with_next) return needed;
    for (; i + 1 < laid.size() && table.columns[i].with_next; ++i) needed += width_of(i + 1);
    return needed;
  };

  std::string text;
  for (std::size_t next = table.repeated; next < laid.size();) {
    std::vector<const Laid*> shown;
    std::size_t used = 0;
    for (std::size_t i = 0; i < table.repeated; ++i) {
      shown.push_back(&laid[i]);
      used += width_of(i);
    }
    // At least one new column, or a narrow terminal would get none.
    do {
      used += width_of(next);
      shown.push_back(&laid[next++]);
    } while (next < laid.size() &&
             (width <= 0 || used + needed_from(next) <= static_cast<std::size_t>(width)));

    if (!text.empty()) text += '\n';
    std::string line;
    for (const Laid* column : shown) line.append(kGap).append(column->header);
    text += styled(without_trailing_spaces(line), Style::bold, colour) + '\n';
    for (std::size_t row = 0; row < rows; ++row) {
      if (row == table.note_at)
        text += std::string(kGap) + styled(table.note, Style::faint, colour) + '\n';
      line.clear();
      for (const Laid* column : shown) line.append(kGap).append(column->cells[row]);
      const Style style = table.row_styles.empty() ? Style::plain : table.row_styles[row];
      text += styled(without_trailing_spaces(line), style, colour) + '\n';
    }
  }
  return text;
}

std::vector<std::string> aligned(const std::vector<std::string>& numbers) {
  std::size_t left = 0;
  std::size_t right = 0;
  for (const std::string& text : numbers) {
    left = std::max(left, point_of(text));
    right = std::max(right, text.size() - point_of(text));
  }
  std::vector<std::string> padded;
  for (const std::string& text : numbers)
    padded.push_back(std::string(left - point_of(text), ' ') + text +
                     std::string(right - (text.size() - point_of(text)), ' '));
  return padded;
}

std::string number(double value) {
  if (!std::isfinite(value) || value == 0) return short_number(value);
  std::string text = fmt::format("{:#.6g}", value);
  // From 100000 on, fmt ends in ".0" or ".", which are no digits of the value.
  const std::size_t point = text.find('.');
  if (point != std::string::npos && point >= (value < 0 ? 7 : 6)) text.erase(point);
  return text;
}

std::string short_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value == 0 ? "0" : fmt::format("{:.5f}", value);
}

std::string percent(double share) {
  if (share == 0) return "0 %";
  if (share < 0.0001) return fmt::format("{:.2g} %", 100 * share);
  const std::string text = fmt::format("{:.2f}", 100 * share);
  if (text == "100.00") return share == 1 ? "100 %" : "99.99 %";
  return text + " %";
}

void Facts::add(std::string name, std::string value) {
  lines_.emplace_back(std::move(name), std::move(value));
}

std::string Facts::to_text(int width, bool colour) const {
  std::size_t names = 0;
  for (const auto& [name, value] : lines_) names = std::max(names, name.size());
  const std::size_t indent = kGap.size() + names + kGap.size();
  const auto total = static_cast<std::size_t>(std::max(width, 0));
  const std::size_t room = total == 0 ? std::string::npos : total - std::min(total, indent);
  std::string text;
  for (const auto& [name, value] : lines_) {
    text += std::string(kGap) + styled(fmt::format("{:<{}}", name, names), Style::bold, colour);
    std::string rest = value;
    for (std::string lead(kGap);; lead.assign(indent, ' ')) {
      const std::size_t space = rest.size() > room ? rest.rfind(' ', room) : std::string::npos;
      text += lead + rest.substr(0, space) + '\n';
      if (space == std::string::npos) break;
      rest.erase(0, space + 1);
    }
  }
  return text;
}

}  // namespace logsum::cli
