// SPDX-License-Identifier: Apache-2.0
// The one line that says which rows of an input are bad, and where in them the trouble is.
#include <fmt/format.h>

#include <cmath>

#include "errors.hpp"
#include "report.hpp"
#include "row_blocks.hpp"

namespace logsum::cli {
namespace {

double value_at(const Tensor& row, std::int64_t column) {
  const auto i = static_cast<std::size_t>(column);
  switch (row.dtype) {
    case DType::f16: return static_cast<float>(static_cast<const Half*>(row.data)[i]);
    case DType::bf16: return static_cast<float>(static_cast<const BFloat16*>(row.data)[i]);
    default: return static_cast<const float*>(row.data)[i];
  }
}

std::string describe(const RowStatuses& rows, std::int64_t columns, std::int64_t row,
                     RowStatus status) {
  const Input& logits = rows.logits;
  const std::string name =
      logits.leading().empty() ? "the row" : "row " + row_name(logits.leading(), row);
  if (status == RowStatus::empty) return name + " is all -inf";
  if (status == RowStatus::bad_target)
    return fmt::format("{} has target {}, outside [0, {})", name,
                       rows.targets[static_cast<std::size_t>(row)], columns);
  if (status == RowStatus::overflow)
    return name + " has a loss or a gradient that is no finite f32";
  const SomeRows one(logits, row);
  std::int64_t at = 0;
  while (at + 1 < columns) {
    const double z = value_at(one.tensor(), at);
    if (status == RowStatus::nan ? std::isnan(z) : z == INFINITY) break;
    ++at;
  }
  return fmt::format("{} has {} at column {}", name, status == RowStatus::nan ? "NaN" : "+inf", at);
}

// Empty where all rows are well.
std::string describe(const RowStatuses& rows, std::int64_t columns) {
  constexpr std::int64_t kNamed = 3;
  std::int64_t bad = 0;
  std::string list;
  for (std::size_t row = 0; row < rows.of_row.size(); ++row) {
    const auto status = static_cast<RowStatus>(rows.of_row[row]);
    if (status == RowStatus::ok || status == RowStatus::ignored) continue;
    if (++bad <= kNamed)
      list +=
          (bad > 1 ? ", " : "") + describe(rows, columns, static_cast<std::int64_t>(row), status);
  }
  if (bad == 0) return {};
  if (bad > kNamed) list += fmt::format(" and {} more", bad - kNamed);
  return fmt::format("{}: {} of {} rows {} {}: {}", rows.logits.label, bad, rows.of_row.size(),
                     bad == 1 ? "has" : "have", rows.lack, list);
}

}  // namespace

void fail_on_bad_rows(std::initializer_list<RowStatuses> inputs, std::int64_t columns) {
  std::string lines;
  for (const RowStatuses& rows : inputs)
    if (const std::string line = describe(rows, columns); !line.empty())
      lines += (lines.empty() ? "" : "; ") + line;
  if (!lines.empty()) throw DataError(lines);
}

}  // namespace logsum::cli
