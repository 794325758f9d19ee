// SPDX-License-Identifier: Apache-2.0
// The steps of a loss on the CPU that don't know the loss: rows that count are listed, measured,
// scored and written; of the others, and of padding, gradients are 0.
#pragma once

#include "core/row_blocks.hpp"
#include "cpu/target_row.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cpu {

class LossVisit {
 public:
  LossVisit(const LossPlan& plan, const Kernels& kernels, const LossRows& rows,
            const LossTotals& totals, TileRecord* records)
      : plan_(plan),
        kernels_(kernels),
        rows_(rows),
        totals_(totals),
        records_(records),
        tiles_(tile_count(plan.logits.columns)) {}

  std::int64_t tiles() const { return tiles_; }

  // Returns how many count.
  std::int64_t list_rows() const {
    std::int64_t kept = 0;
    for (std::int64_t row = 0; row < plan_.logits.rows; ++row) {
      rows_.before[row] = kept;
      const bool counts = plan_.counts(row);
      const std::int64_t place = counts ? kept : plan_.logits.rows - 1 - (row - kept);
      rows_.list[place] = {row, plan_.sequence_of_row(row)};
      kept += counts;
    }
    rows_.before[plan_.logits.rows] = kept;
    for (std::int64_t i = 0; i < plan_.sequences.count; ++i) {
      const TokenRange span = plan_.sequences.range(i);
      rows_.lengths[i] = rows_.before[span.end] - rows_.before[span.begin];
    }
    return kept;
  }

  // The steps of a visit; `k` counts the rows that count.
  void measure(std::int64_t k, std::int64_t first, std::int64_t last) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    if (!is_valid_temperature(t)) return;
    TargetRow(kernels_, plan_.logits, Row(kernels_, plan_.logits, row), Temperature(t))
        .measure(first, last, plan_.has_entropy, records_ + k * tiles_ + first);
  }

  ListedRow score(std::int64_t k, TileScratch& scratch) const {
    const ListedRow at = rows_.list[k];
    const float t = plan_.temperature(at.row);
    ScoredRow scored;
    scored.status = RowStatus::bad_parameter;
    if (is_valid_temperature(t) && totals_.is_valid)
      scored =
          TargetRow(kernels_, plan_.logits, Row(kernels_, plan_.logits, at.row), Temperature(t))
              .score(records_ + k * tiles_, plan_.targets.integer(at.row), plan_.has_entropy,
                     plan_.wants_gradient(), scratch);
    rows_.scored[at.row] = scored;
    return at;
  }

  void write_gradient(std::int64_t k, std::int64_t first, std::int64_t last,
                      TileScratch& scratch) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    const RowDerivatives d =
        rows_.derivatives[row].times(totals_.grad_scale / static_cast<double>(t));
    const Temperature temperature(is_valid_temperature(t) ? t : 1.0f);
    const ScoredRow& scored = rows_.scored[row];
    const RowGradient gradient =
        whole_gradient_of_row(scored, temperature, d, plan_.targets.integer(row));
    if (gradient.fate != RowGradient::Fate::computed)
      return fill_gradient(row, first, last,
                           gradient.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    TargetRow(kernels_, plan_.logits, Row(kernels_, plan_.logits, row), temperature)
        .write_gradient(gradient, static_cast<float>(gradient_at_target(scored, d)), first, last,
                        static_cast<std::byte*>(plan_.grad_logits.column(row, 0)),
                        plan_.grad_logits.dtype, scratch);
  }

  // Columns beyond vocab_size, and rows that don't count.
  void write_rest(std::int64_t row) const {
    fill(plan_.grad_logits.column(row, plan_.logits.columns), plan_.grad_logits.dtype,
         plan_.padded_columns, 0.0f);
    if (!rows_.counts(row)) fill_gradient(row, 0, tiles_, 0.0f);
  }

  void fill_gradient(std::int64_t row, std::int64_t first, std::int64_t last, float value) const {
    const std::int64_t begin = first * kTile;
    fill(plan_.grad_logits.column(row, begin), plan_.grad_logits.dtype,
         std::min(plan_.logits.columns, last * kTile) - begin, value);
  }

 private:
  const LossPlan& plan_;
  const Kernels& kernels_;
  const LossRows& rows_;
  const LossTotals& totals_;
  TileRecord* records_;
  std::int64_t tiles_;
};

}  // namespace logsum::cpu
