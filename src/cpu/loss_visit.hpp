// SPDX-License-Identifier: Apache-2.0
// What all losses do with rows on the CPU: list those that count, score them, write their gradients
// where these are known.
#pragma once

#include "core/row_blocks.hpp"
#include "core/workspace.hpp"
#include "cpu/target_row.hpp"
#include "cpu/visit.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cpu {

// A loss's rows, behind the records of their tiles.
template <class Rows>
class LossMemory {
 public:
  LossMemory(const LossPlan& plan, const Context& context)
      : record_bytes_(Layout::aligned(static_cast<std::size_t>(plan.logits.rows) *
                                      static_cast<std::size_t>(tile_count(plan.logits.columns)) *
                                      sizeof(TileRecord))),
        workspace_(context, record_bytes_ + lay(plan, nullptr)) {
    lay(plan, workspace_.data() + record_bytes_);
  }

  Rows rows;
  TileRecord* records() { return reinterpret_cast<TileRecord*>(workspace_.data()); }

 private:
  std::size_t lay(const LossPlan& plan, std::byte* memory) {
    return rows.lay(memory, static_cast<std::size_t>(plan.logits.rows),
                    static_cast<std::size_t>(plan.sequences.count), false);
  }

  std::size_t record_bytes_;
  Scratch<std::byte> workspace_;
};

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

  // `also(row)`: whether a row that counts is counted beside.
  template <class Also>
  ListCounts list_rows(const Also& also) const {
    ListCounts counts;
    for (std::int64_t row = 0; row < plan_.logits.rows; ++row) {
      rows_.before[row] = counts.kept;
      const bool is_kept = plan_.counts(row);
      const std::int64_t place =
          is_kept ? counts.kept : plan_.logits.rows - 1 - (row - counts.kept);
      rows_.list[place] = {row, plan_.sequence_of_row(row)};
      counts.kept += is_kept;
      counts.also += is_kept && also(row);
    }
    rows_.before[plan_.logits.rows] = counts.kept;
    for (std::int64_t i = 0; i < plan_.sequences.count; ++i) {
      const TokenRange span = plan_.sequences.range(i);
      rows_.lengths[i] = rows_.before[span.end] - rows_.before[span.begin];
      counts.nonempty += rows_.lengths[i] > 0;
    }
    return counts;
  }

  // The steps of a visit; `k` counts the rows that count.
  void measure(std::int64_t k, std::int64_t first, std::int64_t last) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    if (!is_valid_temperature(t)) return;
    TargetRow(kernels_, plan_.logits, row, Temperature(t))
        .measure(first, last, plan_.has_entropy, records_ + k * tiles_ + first);
  }

  void score(std::int64_t k, TileScratch& scratch) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    ScoredRow scored;
    scored.status = RowStatus::bad_parameter;
    if (is_valid_temperature(t) && totals_.is_valid)
      scored = TargetRow(kernels_, plan_.logits, row, Temperature(t))
                   .score(records_ + k * tiles_, plan_.targets.integer(row), plan_.has_entropy,
                          plan_.wants_gradient(), scratch);
    rows_.scored[row] = scored;
  }

  void write_gradient(std::int64_t k, std::int64_t first, std::int64_t last,
                      TileScratch& scratch) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    const double scale = totals_.grad_scale / static_cast<double>(t);
    const RowDerivatives d = rows_.derivatives[row].times(scale);
    const Temperature temperature(is_valid_temperature(t) ? t : 1.0f);
    const ScoredRow& scored = rows_.scored[row];
    const RowGradient gradient =
        whole_gradient_of_row(scored, temperature, d, plan_.targets.integer(row));
    if (gradient.fate != RowGradient::Fate::computed)
      return fill_gradient(row, first, last,
                           gradient.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    TargetRow(kernels_, plan_.logits, row, temperature)
        .write_gradient(gradient, static_cast<float>(gradient_at_target(scored, d)), first, last,
                        gradient_of(row), plan_.grad_logits.dtype, scratch);
  }

  // A second visit of all rows that count.
  Status write_gradients(const Context& context) const {
    return parallel_rows(context, totals_.kept, [&](std::int64_t k, TileScratch& scratch) {
      write_gradient(k, 0, tiles_, scratch);
    });
  }

  // Columns beyond vocab_size, and rows that don't count.
  Status write_rest(const Context& context) const {
    return parallel_rows(context, plan_.logits.rows, [&](std::int64_t row, TileScratch&) {
      fill(static_cast<std::byte*>(plan_.grad_logits.column(row, plan_.logits.columns)),
           plan_.grad_logits.dtype, plan_.padded_columns, 0.0f);
      if (!rows_.counts(row)) fill_gradient(row, 0, tiles_, 0.0f);
    });
  }

 private:
  std::byte* gradient_of(std::int64_t row) const {
    return static_cast<std::byte*>(plan_.grad_logits.column(row, 0));
  }
  void fill_gradient(std::int64_t row, std::int64_t first, std::int64_t last, float value) const {
    const std::int64_t begin = first * kTile;
    fill(plan_.grad_logits.column(row, begin), plan_.grad_logits.dtype,
         std::min(plan_.logits.columns, last * kTile) - begin, value);
  }

  const LossPlan& plan_;
  const Kernels& kernels_;
  const LossRows& rows_;
  const LossTotals& totals_;
  TileRecord* records_;
  std::int64_t tiles_;
};

}  // namespace logsum::cpu
