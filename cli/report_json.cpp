// SPDX-License-Identifier: Apache-2.0
// Results as JSON: one row per line, so that a large report can be read by eye and by line tools.
#include <fmt/format.h>

#include <cmath>

#include "report.hpp"

namespace logsum::cli {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json value(const std::string& name, T x) {
  if constexpr (std::is_same_v<T, float>)
    // As a double, whose shortest digits give back exactly this float to any reader.
    return finite_or_null(static_cast<double>(x));
  else
    return name == kRowStatusName ? Json(to_string(static_cast<RowStatus>(x))) : Json(x);
}

Json value(const Column& column, std::int64_t row) {
  const std::size_t first = static_cast<std::size_t>(row) * column.per_row();
  return std::visit(
      [&](const auto& v) {
        if (column.inner == 0) return value(column.name, v[first]);
        Json list = Json::array();
        for (std::size_t i = 0; i < column.per_row(); ++i)
          list.push_back(value(column.name, v[first + i]));
        return list;
      },
      column.values);
}

}  // namespace

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double as_written(float value) { return std::stod(fmt::format("{}", value)); }

std::string rows_to_json(const Results& results, const Json& summary) {
  std::string text = "{\"rows\": [";
  for (std::int64_t row = 0; row < results.rows(); ++row) {
    Json object = Json::object();
    for (const Column& column : results.columns()) object[column.name] = value(column, row);
    text += row > 0 ? ",\n " : "\n ";
    text += object.dump();
  }
  return text + "\n], \"summary\": " + summary.dump() + "}\n";
}

}  // namespace logsum::cli
