// SPDX-License-Identifier: Apache-2.0
// What a command computed: named columns of a few bytes per row, in memory until all rows are done,
// so that nothing is printed or written of a run that fails.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "logsum/row_status.hpp"
#include "logsum/tensor.hpp"

namespace logsum::cli {

using Values =
    std::variant<std::vector<float>, std::vector<std::int32_t>, std::vector<std::int64_t>>;

struct Column {
  std::string name;
  std::int64_t inner = 0;  // values per row; 0: one, without a dimension of its own
  Values values;
  bool with_next = false;  // in a table: see TableColumn

  std::size_t per_row() const { return inner > 0 ? static_cast<std::size_t>(inner) : 1; }
  DType dtype() const;
  const void* data() const;

  // Rows [first, first + rows) as a tensor to write into.
  Tensor block(std::int64_t first, std::int64_t rows);
};

class Results {
 public:
  Results(std::vector<std::int64_t> leading, std::int64_t rows)
      : leading_(std::move(leading)), rows_(rows) {}

  // The column stays where it is: columns may be held by reference.
  Column& add(std::string name, DType dtype, std::int64_t inner = 0);

  std::vector<float>& floats(Column& column) { return std::get<std::vector<float>>(column.values); }
  const std::vector<float>& floats(const Column& column) const {
    return std::get<std::vector<float>>(column.values);
  }

  const std::vector<std::int64_t>& leading() const { return leading_; }
  std::int64_t rows() const { return rows_; }
  const std::deque<Column>& columns() const { return columns_; }
  const Column* find(const std::string& name) const;

 private:
  std::vector<std::int64_t> leading_;
  std::int64_t rows_;
  std::deque<Column> columns_;
};

inline constexpr const char* kRowStatusName = "row_status";
inline constexpr int kRowStatuses = static_cast<int>(RowStatus::overflow) + 1;

inline RowStatus status_of(const Column& row_status, std::int64_t row) {
  return static_cast<RowStatus>(
      std::get<std::vector<std::int32_t>>(row_status.values)[static_cast<std::size_t>(row)]);
}

}  // namespace logsum::cli
