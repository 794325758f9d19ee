// SPDX-License-Identifier: Apache-2.0
// A table for people: aligned columns, numbers on their decimal points, and on a terminal columns
// that don't fit continue in a second table below.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace logsum::cli {

enum class Style { plain, bold, faint, warning, good };

struct TableColumn {
  std::string header;
  bool is_text = false;  // text is aligned left, numbers on their points
  std::vector<std::string> cells;
  bool with_next = false;  // not parted from the next column unless they don't fit a line
};

struct Table {
  std::vector<TableColumn> columns;
  std::size_t repeated = 1;  // leading columns that each continuation shows again
  // A note between two rows: where rows were left out.
  std::size_t note_at = SIZE_MAX;
  std::string note;
  std::vector<Style> row_styles;  // empty: all plain
};

// From the headers and lines of cells; the first `texts` columns are text.
Table table_of(std::initializer_list<const char*> headers, std::size_t texts,
               const std::vector<std::vector<std::string>>& lines);

// `width` 0: any; `colour` wraps styled text in escape sequences.
std::string to_text(const Table& table, int width, bool colour);
std::string styled(const std::string& text, Style style, bool colour);

// Six significant digits; five decimals.
std::string number(double value);
std::string short_number(double value);

// "0.42 %" of a total, "0 %" only for 0.
std::string percent(double share);

// Numbers padded to one width, with their points under one another.
std::vector<std::string> aligned(const std::vector<std::string>& numbers);

// Lines "name   value" under one another, names padded alike, values broken between words.
class Facts {
 public:
  void add(std::string name, std::string value);
  std::string to_text(int width, bool colour) const;
  const std::vector<std::pair<std::string, std::string>>& lines() const { return lines_; }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

}  // namespace logsum::cli
