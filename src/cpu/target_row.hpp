// SPDX-License-Identifier: Apache-2.0
// Rows scored for a loss on the CPU, and their gradients written: one target per row, whose tile is
// measured a second time without it where a gradient is wanted.
#pragma once

#include <cstring>

#include "core/scored_row.hpp"
#include "cpu/row.hpp"

namespace logsum::cpu {

// RowOf: a Row, or one that shows other logits than are stored.
template <class RowOf = Row>
class TargetRow {
 public:
  TargetRow(const Kernels& kernels, const RowsView& logits, const RowOf& row,
            const Temperature& temperature)
      : kernels_(kernels), logits_(logits), row_(row), temperature_(temperature) {}

  void measure(std::int64_t first, std::int64_t last, bool entropy, TileRecord* records) const {
    row_.measure(first, last, {temperature_, entropy}, records);
  }

  // From the records of all tiles. `others`: for a gradient.
  ScoredRow score(TileRecord* records, std::int64_t target, bool entropy, bool others,
                  TileScratch& scratch) const {
    ScoredRow scored;
    const RowMeasure measure = row_.join_records(records, scored.status);
    if (scored.status != RowStatus::ok) return scored;
    const bool has_target = target >= 0 && target < logits_.columns;
    const float weight = weight_of_max(measure, temperature_);
    scored = scored_row(measure, temperature_, weight, has_target ? row_.value(target) : 0);
    if (others && has_target)
      scored.rest = rest_of_mass(measure_others(records, target, scratch), measure);
    if (entropy) scored.entropy = row_entropy(measure, scored.norm, temperature_);
    if (!has_target) {
      scored.status = RowStatus::bad_target;
      scored.logp = kNan;
    }
    return scored;
  }

  // The gradient of the tiles [first, last), in a row that may be this one.
  void write_gradient(const RowGradient& gradient, float at_target, std::int64_t first,
                      std::int64_t last, std::byte* out, DType dtype, TileScratch& scratch) const {
    for (std::int64_t i = first; i < last; ++i) {
      const Tile tile = row_.load(i, scratch);
      std::byte* const at = out + i * kTile * static_cast<std::int64_t>(size_of(dtype));
      if (gradient.has_entropy)
        kernels_.emit_with_entropy(tile, gradient, at, dtype);
      else
        kernels_.emit_exp(tile, gradient.exp, at, dtype);
    }
    const std::int64_t tile = gradient.target / kTile;
    if (tile >= first && tile < last)
      fill(out + gradient.target * static_cast<std::int64_t>(size_of(dtype)), dtype, 1, at_target);
  }

 private:
  // The row without its target. Puts the tile's record back.
  RowMeasure measure_others(TileRecord* records, std::int64_t target, TileScratch& scratch) const {
    const std::int64_t index = target / kTile;
    const Tile tile = row_.load(index, scratch);
    if (tile.z != scratch.z)
      std::memcpy(scratch.z, tile.z, static_cast<std::size_t>(tile.columns) * sizeof(float));
    scratch.z[target % kTile] = kNegInf;
    const TileRecord whole = records[index];
    kernels_.measure_tiles(scratch.z, DType::f32, tile.columns, {temperature_}, records + index,
                           nullptr);
    const RowMeasure others = join(RecordArray{records}, row_.tiles(), logits_.columns);
    records[index] = whole;
    return others;
  }

  const Kernels& kernels_;
  const RowsView& logits_;
  RowOf row_;
  Temperature temperature_;
};

}  // namespace logsum::cpu
