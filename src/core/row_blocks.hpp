// SPDX-License-Identifier: Apache-2.0
// Rows along any dimension, for kernels that want unit stride. Where columns aren't contiguous,
// neighbouring rows are: they are visited in blocks of as many rows as share a cache line, and
// copied piece by piece into contiguous room (staged), so that memory is read and written in whole
// lines.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "core/measure.hpp"
#include "core/rows.hpp"

namespace logsum {

struct RowSpan {
  std::int64_t first, count;
};

struct ColumnSpan {
  std::int64_t first, count;
};

// Bytes between staged rows: aligned, and never a power of two, which would put the same column of
// all rows into one set of the L1 cache.
constexpr std::int64_t staged_row_bytes(DType dtype, std::int64_t columns) {
  return (columns * static_cast<std::int64_t>(size_of(dtype)) + 63) / 64 * 64 + 64;
}

class RowBlocks {
 public:
  static constexpr std::int64_t kMostRows = 32;   // in a block
  static constexpr std::int64_t kMostTasks = 64;  // that stage at the same time
  // Of a task; a block of a tile fits if it has one tensor. Beyond, it would leave the L2 cache.
  static constexpr std::int64_t kMostRoom = 16 * staged_row_bytes(DType::f32, kTile);

  // Of tensors with the same rows and columns.
  RowBlocks(std::int64_t rows, std::int64_t columns) : rows_(rows), columns_(columns) {}
  RowBlocks(std::initializer_list<const RowsView*> views) {
    for (const RowsView* view : views) {
      rows_ = view->rows;
      columns_ = view->columns;
      add(view->dtype, view->stride);
    }
  }

  // A tensor with this stride between its columns.
  void add(DType dtype, std::int64_t stride) {
    if (stride == 1) return;
    per_block_ = std::max(per_block_, kLine / static_cast<std::int64_t>(size_of(dtype)));
    staged_[staged_count_++] = dtype;
  }

  std::int64_t count() const { return (rows_ + per_block_ - 1) / per_block_; }
  std::int64_t tiles() const { return tile_count(columns_); }

  RowSpan rows(std::int64_t block) const {
    const std::int64_t first = block * per_block_;
    return {first, std::min(per_block_, rows_ - first)};
  }

  // How many tasks may stage at once, 0 if nothing is staged, and the room that each needs.
  std::int64_t rooms() const {
    return staged_count_ > 0 ? std::min(kMostTasks, count() * tiles()) : 0;
  }
  std::int64_t room_bytes() const {
    return std::min(kMostRoom, std::min(per_block_, rows_) *
                                   staged_bytes(std::min<std::int64_t>(columns_, kTile)));
  }

  std::size_t staging_bytes() const { return static_cast<std::size_t>(rooms() * room_bytes()); }

  // Calls body(rows, columns, room) for pieces that make up the tiles [first, last) of a block. All
  // in one where nothing is staged; else each `widest` columns at most, which must divide a tile,
  // and so few rows that all staged tensors fit the room.
  template <class Body>
  void for_each_piece(std::int64_t block, std::int64_t first, std::int64_t last,
                      std::int64_t widest, std::byte* room, const Body& body) const {
    const RowSpan all = rows(block);
    const std::int64_t begin = first * kTile;
    const std::int64_t end = std::min<std::int64_t>(last * kTile, columns_);
    if (staged_count_ == 0) return body(all, ColumnSpan{begin, end - begin}, room);
    for (std::int64_t at = begin; at < end; at += widest) {
      const std::int64_t width = std::min(widest, end - at);
      const std::int64_t fit = room_bytes() / staged_bytes(width);
      for (std::int64_t i = 0; i < all.count; i += fit)
        body(RowSpan{all.first + i, std::min(fit, all.count - i)}, ColumnSpan{at, width}, room);
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;
  static_assert(kLine / sizeof(Half) == kMostRows);

  // Of a row with all staged tensors.
  std::int64_t staged_bytes(std::int64_t columns) const {
    std::int64_t bytes = 0;
    for (int i = 0; i < staged_count_; ++i) bytes += staged_row_bytes(staged_[i], columns);
    return bytes;
  }

  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t per_block_ = 1;
  DType staged_[3] = {};
  int staged_count_ = 0;
};

// Calls body(column, width) for the tiles of a piece, or the part of one that it is.
template <class Body>
void for_each_tile(const ColumnSpan& columns, const Body& body) {
  for (std::int64_t column = 0; column < columns.count; column += kTile)
    body(column, static_cast<int>(std::min<std::int64_t>(kTile, columns.count - column)));
}

// A piece of a tensor with contiguous columns: in place, or staged.
class Staged {
 public:
  // Takes what it needs of `room` from the front.
  Staged(const RowsView& view, const RowSpan& rows, const ColumnSpan& columns, std::byte*& room)
      : view_(view), rows_(rows), columns_(columns), room_(room) {
    if (view.stride != 1) room += rows.count * row_bytes();
  }

  // Row i of the piece, from a column of it on.
  void* row(std::int64_t i, std::int64_t column = 0) const {
    if (view_.stride == 1) return view_.column(rows_.first + i, columns_.first + column);
    return room_ + i * row_bytes() + column * static_cast<std::int64_t>(size_of(view_.dtype));
  }

  const Staged& gather() const {
    if (view_.stride != 1) copy<true>();
    return *this;
  }
  void scatter() const {
    if (view_.stride != 1) copy<false>();
  }

 private:
  std::int64_t row_bytes() const { return staged_row_bytes(view_.dtype, columns_.count); }

  template <bool kIn>
  void copy() const {
    if (size_of(view_.dtype) == 2)
      copy_as<std::uint16_t, kIn>();
    else
      copy_as<std::uint32_t, kIn>();
  }

  // Column by column, as the rows of a block lie next to each other there. Each column is in
  // another line, often in another page, beyond what the machine's own prefetchers see.
  template <class Bits, bool kIn>
  void copy_as() const {
    constexpr std::int64_t kFetchAhead = 32;
    Bits* elements[RowBlocks::kMostRows];
    for (std::int64_t i = 0; i < rows_.count; ++i)
      elements[i] = static_cast<Bits*>(view_.column(rows_.first + i, columns_.first));
    auto* const staged = reinterpret_cast<Bits*>(room_);
    const std::int64_t stride = row_bytes() / static_cast<std::int64_t>(sizeof(Bits));
    for (std::int64_t column = 0; column < columns_.count; ++column) {
      __builtin_prefetch(elements[0] + (column + kFetchAhead) * view_.stride, kIn ? 0 : 1);
      for (std::int64_t i = 0; i < rows_.count; ++i) {
        Bits& element = elements[i][column * view_.stride];
        Bits& copy = staged[i * stride + column];
        if constexpr (kIn)
          copy = element;
        else
          element = copy;
      }
    }
  }

  const RowsView& view_;
  RowSpan rows_;
  ColumnSpan columns_;
  std::byte* room_;
};

// A row without a result: one value throughout.
inline void fill(void* out, DType dtype, std::int64_t columns, float value) {
  switch (dtype) {
    case DType::bf16: std::fill_n(static_cast<BFloat16*>(out), columns, BFloat16(value)); return;
    case DType::f16: std::fill_n(static_cast<Half*>(out), columns, Half(value)); return;
    default: std::fill_n(static_cast<float*>(out), columns, value);
  }
}

}  // namespace logsum
