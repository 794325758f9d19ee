// SPDX-License-Identifier: Apache-2.0
#include "results.hpp"

#include <algorithm>
#include <utility>

namespace logsum::cli {

DType Column::dtype() const {
  return std::visit([]<class T>(const std::vector<T>&) { return dtype_of<T>; }, values);
}

const void* Column::data() const {
  return std::visit([](const auto& v) -> const void* { return v.data(); }, values);
}

Tensor Column::block(std::int64_t first, std::int64_t rows) {
  const std::int64_t shape[] = {rows, inner};
  return std::visit(
      [&]<class T>(std::vector<T>& v) {
        return Tensor::contiguous(v.data() + static_cast<std::size_t>(first) * per_row(),
                                  dtype_of<T>, std::span(shape, inner > 0 ? 2 : 1));
      },
      values);
}

Column& Results::add(std::string name, DType dtype, std::int64_t inner) {
  Column& column = columns_.emplace_back();
  column.name = std::move(name);
  column.inner = inner;
  const std::size_t count = static_cast<std::size_t>(rows_) * column.per_row();
  if (dtype == DType::f32) column.values = std::vector<float>(count);
  if (dtype == DType::i32) column.values = std::vector<std::int32_t>(count);
  if (dtype == DType::i64) column.values = std::vector<std::int64_t>(count);
  return column;
}

const Column* Results::find(const std::string& name) const {
  const auto found = std::ranges::find(columns_, name, &Column::name);
  return found == columns_.end() ? nullptr : &*found;
}

}  // namespace logsum::cli
