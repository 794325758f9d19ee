// SPDX-License-Identifier: Apache-2.0
// A row of logits and its records: what the operations of the CPU backend share between "the tiles
// are measured" and "the outputs are written".
#pragma once

#include <algorithm>

#include "core/results.hpp"
#include "core/rows.hpp"
#include "cpu/kernels.hpp"
#include "logsum/row_status.hpp"

namespace logsum::cpu {

class Row {
 public:
  Row(const Kernels& kernels, const RowsView& logits, std::int64_t row)
      : kernels_(kernels),
        logits_(logits),
        begin_(static_cast<const std::byte*>(logits.column(row, 0))) {}

  std::int64_t tiles() const { return tile_count(logits_.columns); }

  // Of a row with unit stride.
  Tile load(std::int64_t tile, TileScratch& scratch) const {
    const std::int64_t begin = tile * kTile;
    const auto columns = static_cast<int>(std::min<std::int64_t>(logits_.columns - begin, kTile));
    return kernels_.load(tile_begin(tile), logits_.dtype, columns, scratch);
  }

  // Records of the tiles [first, last), and at a second temperature if the spec has one.
  void measure(std::int64_t first, std::int64_t last, const MeasureSpec& spec, TileRecord* records,
               TileRecord* second_records = nullptr) const {
    const std::int64_t begin = first * kTile;
    const std::int64_t columns = std::min(logits_.columns, last * kTile) - begin;
    kernels_.measure_tiles(tile_begin(first), logits_.dtype, columns, spec, records,
                           second_records);
  }

  const std::byte* tile_begin(std::int64_t tile) const {
    return begin_ + tile * kTile * static_cast<std::int64_t>(size_of(logits_.dtype));
  }
  DType dtype() const { return logits_.dtype; }

  float value(std::int64_t column) const {
    const std::byte* p =
        begin_ + column * logits_.stride * static_cast<std::int64_t>(size_of(logits_.dtype));
    switch (logits_.dtype) {
      case DType::bf16: return static_cast<float>(*reinterpret_cast<const BFloat16*>(p));
      case DType::f16: return static_cast<float>(*reinterpret_cast<const Half*>(p));
      default: return *reinterpret_cast<const float*>(p);
    }
  }

  // The row's measure, and what is wrong with the row if anything is.
  RowMeasure join_records(const TileRecord* records, RowStatus& status) const {
    const RowMeasure measure = join(RecordArray{records}, tiles(), logits_.columns);
    status = status_of(measure);
    if (measure.poisoned) status = has_nan(records) ? RowStatus::nan : RowStatus::pos_inf;
    return measure;
  }

  // The lowest column that holds the row's maximum.
  std::int64_t argmax(const RowMeasure& measure, TileScratch& scratch) const {
    return measure.max_tile * kTile + kernels_.find(load(measure.max_tile, scratch), measure.max);
  }

  std::int64_t count_greater(const TileRecord* records, float value, TileScratch& scratch) const {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < tiles(); ++i)
      if (records[i].max > value) count += kernels_.count_greater(load(i, scratch), value);
    return count;
  }

 private:
  bool has_nan(const TileRecord* records) const {
    for (std::int64_t i = 0; i < tiles(); ++i) {
      if (records[i].sum == records[i].sum) continue;
      const std::int64_t end = std::min(logits_.columns, (i + 1) * kTile);
      for (std::int64_t column = i * kTile; column < end; ++column)
        if (std::isnan(value(column))) return true;
    }
    return false;
  }

  const Kernels& kernels_;
  const RowsView& logits_;
  const std::byte* begin_;
};

}  // namespace logsum::cpu
