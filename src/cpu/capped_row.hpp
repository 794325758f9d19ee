// SPDX-License-Identifier: Apache-2.0
// A row of logits seen through a softcap, if there is one: as f32 tiles, as Row has them.
#pragma once

#include "cpu/row.hpp"

namespace logsum::cpu {

class CappedRow : public Row {
 public:
  CappedRow(const Kernels& kernels, const RowsView& logits, std::int64_t row,
            const Softcap& softcap)
      : Row(kernels, logits, row), kernels_(kernels), softcap_(softcap) {}

  Tile load(std::int64_t tile, TileScratch& scratch) const {
    const Tile stored = Row::load(tile, scratch);
    return softcap_ ? kernels_.cap(stored, softcap_, scratch) : stored;
  }
  float value(std::int64_t column) const {
    return softcap_ ? softcap_(Row::value(column)) : Row::value(column);
  }

 private:
  const Kernels& kernels_;
  const Softcap& softcap_;
};

}  // namespace logsum::cpu
