// SPDX-License-Identifier: Apache-2.0
// Rows along any dimension, measured tile by tile and joined: what softmax, log_softmax and
// logsumexp begin with.
#pragma once

#include "core/row_blocks.hpp"
#include "cpu/row.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {

class MeasuredRows {
 public:
  MeasuredRows(const Kernels& kernels, const RowsView& logits, const PerRowView<float>& temperature,
               const RowBlocks& blocks, TileRecord* records)
      : kernels_(kernels),
        logits_(logits),
        temperature_(temperature),
        blocks_(blocks),
        records_(records) {}

  void measure(std::int64_t block, std::int64_t first, std::int64_t last,
               TaskScratch& scratch) const {
    blocks_.for_each_piece(block, first, last, kTile, scratch.room,
                           [&](const RowSpan& rows, const ColumnSpan& columns, std::byte* room) {
                             const Staged logits = Staged(logits_, rows, columns, room).gather();
                             for (std::int64_t i = 0; i < rows.count; ++i) {
                               const std::int64_t row = rows.first + i;
                               if (!is_valid_temperature(temperature_(row))) continue;
                               const Temperature temperature(temperature_(row));
                               kernels_.measure_tiles(
                                   logits.row(i), logits_.dtype, columns.count, {temperature},
                                   records_ + row * blocks_.tiles() + columns.first / kTile,
                                   nullptr);
                             }
                           });
  }

  // After all tiles of a row. The measure means something where the status is ok.
  RowMeasure join(std::int64_t row, RowStatus& status) const {
    status = RowStatus::bad_parameter;
    if (!is_valid_temperature(temperature_(row))) return {};
    return Row(kernels_, logits_, row).join_records(records_ + row * blocks_.tiles(), status);
  }

 private:
  const Kernels& kernels_;
  const RowsView& logits_;
  const PerRowView<float>& temperature_;
  const RowBlocks& blocks_;
  TileRecord* records_;
};

}  // namespace logsum::cpu
