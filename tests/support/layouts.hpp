// SPDX-License-Identifier: Apache-2.0
// Rows of values in every memory layout that an operation along any dimension must take: which
// dimension V is, strides that aren't 1, padding, misalignment. What lies between the elements is a
// canary.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "logsum/tensor.hpp"
#include "support/executors.hpp"
#include "support/rows.hpp"

namespace logsum::test {

struct Layout {
  std::string name;
  std::int64_t dim;
  // Sizes, strides and the first element's place, for `rows` rows (an even number) of `columns`.
  struct Place {
    std::vector<std::int64_t> shape, strides;
    std::int64_t offset = 0;
  };
  std::function<Place(std::int64_t rows, std::int64_t columns)> place;
};

inline const Layout& contiguous_layout() {
  static const Layout layout{"contiguous", -1, [](auto rows, auto columns) {
                               return Layout::Place{{rows, columns}, {columns, 1}, 0};
                             }};
  return layout;
}

inline const std::vector<Layout>& layouts() {
  using Place = Layout::Place;
  static const std::vector<Layout> all = {
      {"padded, misaligned", -1,
       [](auto r, auto v) {
         return Place{{r, v}, {v + 5, 1}, 3};
       }},
      {"dim 0 of 2", 0,
       [](auto r, auto v) {
         return Place{{v, r}, {r, 1}, 0};
       }},
      {"dim 0 of 2, padded", -2,
       [](auto r, auto v) {
         return Place{{v, r}, {r + 3, 1}, 1};
       }},
      {"dim 0 of 3", 0,
       [](auto r, auto v) {
         return Place{{v, 2, r / 2}, {r, r / 2, 1}, 0};
       }},
      {"dim 1 of 3", 1,
       [](auto r, auto v) {
         return Place{{2, v, r / 2}, {v * (r / 2), r / 2, 1}, 0};
       }},
      {"dim 2 of 3", 2,
       [](auto r, auto v) {
         return Place{{2, r / 2, v}, {v * (r / 2), v, 1}, 0};
       }},
      {"last dim transposed", -1,
       [](auto r, auto v) {
         return Place{{r, v}, {1, r}, 0};
       }},
      {"every other column", 1,
       [](auto r, auto v) {
         return Place{{r, v}, {2 * v + 1, 2}, 1};
       }},
      {"backwards", -1,
       [](auto r, auto v) {
         return Place{{r, v}, {-v, -1}, r * v - 1};
       }},
  };
  return all;
}

// Those whose rows are along the last dimension.
inline std::vector<Layout> layouts_of_last_dim() {
  std::vector<Layout> last;
  for (const Layout& layout : layouts()) {
    const auto rank = static_cast<std::int64_t>(layout.place(2, 2).shape.size());
    if (layout.dim == -1 || layout.dim == rank - 1) last.push_back(layout);
  }
  return last;
}

// Rows in a layout.
class Rows {
 public:
  Rows(const Layout& layout, std::int64_t rows, std::int64_t columns, DType dtype)
      : dim_(layout.dim), rows_(rows), columns_(columns), dtype_(dtype) {
    place_ = layout.place(rows, columns);
    std::int64_t last = place_.offset;
    for (std::size_t i = 0; i < place_.shape.size(); ++i)
      last += std::max<std::int64_t>(0, (place_.shape[i] - 1) * place_.strides[i]);
    bytes_.assign(static_cast<std::size_t>(last + 1) * size_of(dtype), std::byte{0x7f});
  }

  Tensor tensor() {
    return Tensor::strided(bytes_.data() + place_.offset * size(), dtype_, place_.shape,
                           place_.strides);
  }

  // One value per row, contiguous, in the shape that goes with tensor().
  template <class T>
  Tensor per_row(std::vector<T>& values) const {
    std::vector<std::int64_t> shape = place_.shape;
    shape.erase(shape.begin() + axis());
    return Tensor::contiguous(values.data(), dtype_of<T>, shape);
  }

  float get(std::int64_t row, std::int64_t column) const {
    const std::byte* p = bytes_.data() + element(row, column);
    std::uint16_t bits = 0;
    float value = 0;
    if (dtype_ == DType::f32)
      std::memcpy(&value, p, sizeof value);
    else
      std::memcpy(&bits, p, sizeof bits);
    if (dtype_ == DType::bf16) value = static_cast<float>(std::bit_cast<BFloat16>(bits));
    if (dtype_ == DType::f16) value = static_cast<float>(std::bit_cast<Half>(bits));
    return value;
  }
  std::vector<float> row(std::int64_t i) const {
    std::vector<float> values;
    for (std::int64_t column = 0; column < columns_; ++column) values.push_back(get(i, column));
    return values;
  }

  void set(std::int64_t row, std::int64_t column, float value) {
    std::byte* p = bytes_.data() + element(row, column);
    if (dtype_ == DType::f32) std::memcpy(p, &value, sizeof value);
    if (dtype_ == DType::bf16) std::memcpy(p, std::vector{BFloat16(value)}.data(), 2);
    if (dtype_ == DType::f16) std::memcpy(p, std::vector{Half(value)}.data(), 2);
  }
  Rows& set_row(std::int64_t row, const std::vector<float>& values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      set(row, static_cast<std::int64_t>(i), values[i]);
    return *this;
  }
  Rows& set_all(const std::vector<std::vector<float>>& values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      set_row(static_cast<std::int64_t>(i), values[i]);
    return *this;
  }

  // Nothing but elements has been written.
  bool canaries_live() const {
    std::vector<std::byte> bytes = bytes_;
    for (std::int64_t row = 0; row < rows_; ++row)
      for (std::int64_t column = 0; column < columns_; ++column)
        std::fill_n(bytes.begin() + element(row, column), size(), std::byte{0x7f});
    return std::all_of(bytes.begin(), bytes.end(),
                       [](std::byte b) { return b == std::byte{0x7f}; });
  }

  // The same elements, whatever lies between them.
  bool same_bits_as(const Rows& other) const {
    for (std::int64_t row = 0; row < rows_; ++row)
      for (std::int64_t column = 0; column < columns_; ++column)
        if (std::memcmp(bytes_.data() + element(row, column),
                        other.bytes_.data() + other.element(row, column),
                        static_cast<std::size_t>(size())) != 0)
          return false;
    return true;
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t dim() const { return dim_; }
  DType dtype() const { return dtype_; }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(size_of(dtype_)); }
  std::ptrdiff_t axis() const {
    return dim_ < 0 ? dim_ + static_cast<std::ptrdiff_t>(place_.shape.size()) : dim_;
  }

  // Byte offset of an element; rows are the other dimensions in row-major order.
  std::int64_t element(std::int64_t row, std::int64_t column) const {
    std::int64_t at = place_.offset;
    for (auto i = static_cast<std::ptrdiff_t>(place_.shape.size()) - 1; i >= 0; --i) {
      const auto d = static_cast<std::size_t>(i);
      at += (i == axis() ? column : row % place_.shape[d]) * place_.strides[d];
      if (i != axis()) row /= place_.shape[d];
    }
    return at * size();
  }

  std::int64_t dim_, rows_, columns_;
  DType dtype_;
  Layout::Place place_;
  std::vector<std::byte> bytes_;
};

// f32 results within 4e-6 relative of the truth, or 2^-149 below the smallest normal, then rounded
// once to `dtype`. The truth may have been rounded to f32 itself.
inline bool is_rounded_probability(float got, double truth, DType dtype) {
  if (std::isnan(truth)) return std::isnan(got);
  if (std::isinf(truth)) return static_cast<double>(got) == truth;
  const double slack = 4e-6 * std::fabs(truth) + 0x1p-149;
  return got >= rounded_to(static_cast<float>(truth - slack), dtype) &&
         got <= rounded_to(static_cast<float>(truth + slack), dtype);
}

// All healthy rows at a width, as a dtype holds them.
inline std::vector<std::vector<float>> healthy_values(std::int64_t columns, DType dtype,
                                                      std::uint32_t seed = 0) {
  std::vector<std::vector<float>> all;
  for (const RowCase& c : healthy_rows()) {
    all.push_back(c.make(columns, seed + static_cast<std::uint32_t>(all.size())));
    for (float& x : all.back()) x = rounded_to(x, dtype);
  }
  return all;
}

}  // namespace logsum::test
