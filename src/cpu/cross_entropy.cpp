// SPDX-License-Identifier: Apache-2.0
// cross_entropy on the CPU: rows as all losses have them; with a softcap or label smoothing, tiles
// in f32 whose columns are looked at one by one.
#include "ops/cross_entropy.hpp"

#include "core/backend.hpp"
#include "core/halving_tree.hpp"
#include "cpu/capped_row.hpp"
#include "cpu/loss_memory.hpp"
#include "cpu/loss_visit.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class CrossEntropyVisit {
 public:
  CrossEntropyVisit(const CrossEntropyPlan& plan, const Kernels& kernels,
                    const CrossEntropyRows& rows, TileRecord* records)
      : plan_(plan),
        kernels_(kernels),
        rows_(rows),
        visit_(plan, kernels, rows, *rows.totals, records),
        records_(records) {}

  void list_rows() const {
    const std::int64_t kept = visit_.list_rows();
    double weights = 0, column_weight = 0;
    if (plan_.counts_weights())
      weights = sum(plan_.logits.rows, [&](std::int64_t row) {
        return rows_.counts(row) ? plan_.weight_of_row(row) : 0;
      });
    if (plan_.label_smoothing != 0)
      column_weight =
          plan_.class_weights
              ? sum(plan_.logits.columns, [&](std::int64_t column) { return plan_.weight(column); })
              : static_cast<double>(plan_.logits.columns);
    *rows_.totals = plan_.totals(kept, weights, column_weight);
  }

  void measure(std::int64_t k, std::int64_t first, std::int64_t last, TileScratch& scratch) const {
    if (!plan_.is_by_column()) return visit_.measure(k, first, last);
    const CappedRow row = row_of(rows_.list[k].row);
    const Temperature temperature;
    for (std::int64_t i = first; i < last; ++i) {
      const Tile tile = row.load(i, scratch);
      kernels_.measure_tiles(tile.z, DType::f32, tile.columns, {temperature},
                             records_ + k * visit_.tiles() + i, nullptr);
      if (plan_.label_smoothing != 0)
        rows_.column_sums[k * visit_.tiles() + i] = column_sum(tile, i);
    }
  }

  void score(std::int64_t k, TileScratch& scratch) const {
    const std::int64_t row = rows_.list[k].row;
    if (plan_.is_by_column())
      score_columns(k, row, scratch);
    else
      visit_.score(k, scratch);
    const ScoredRow& scored = rows_.scored[row];
    rows_.derivatives[row] = plan_.derivatives(*rows_.totals, plan_.weight_of_row(row), scored.lse)
                                 .times(plan_.upstream(row));
  }

  void write_gradient(std::int64_t k, std::int64_t first, std::int64_t last,
                      TileScratch& scratch) const {
    if (!plan_.is_by_column()) return visit_.write_gradient(k, first, last, scratch);
    const std::int64_t row = rows_.list[k].row;
    const ScoredRow& scored = rows_.scored[row];
    const RowDerivatives d = rows_.derivatives[row].times(rows_.totals->grad_scale);
    const std::int64_t target = plan_.targets.integer(row);
    const RowGradient gradient = whole_gradient_of_row(scored, Temperature(), d, target);
    const bool has_exponentials = gradient.fate == RowGradient::Fate::computed;
    // Without them label smoothing's part is left, of a row that is well.
    if (gradient.fate == RowGradient::Fate::nan || (!has_exponentials && !is_scored(scored.status)))
      return visit_.fill_gradient(row, first, last,
                                  gradient.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    const ColumnGradient of_column = plan_.column_gradient(*rows_.totals, row);
    const DType dtype = plan_.grad_logits.dtype;
    const bool has_target = target >= first * kTile && target < last * kTile;
    const float z = has_target ? Row(kernels_, plan_.logits, row).value(target) : 0;
    const CappedRow capped = row_of(row);
    TileScratch exponentials = {}, weights = {};
    for (std::int64_t i = first; i < last; ++i) {
      if (has_exponentials)
        kernels_.emit_exp(capped.load(i, scratch), gradient.exp, exponentials.z, DType::f32);
      const Tile stored = Row(kernels_, plan_.logits, row).load(i, scratch);
      for (int column = 0; plan_.class_weights && column < stored.columns; ++column)
        weights.z[column] = static_cast<float>(plan_.weight(i * kTile + column));
      kernels_.emit_columns(stored, exponentials.z, plan_.class_weights ? weights.z : nullptr,
                            of_column, plan_.grad_logits.column(row, i * kTile), dtype);
    }
    if (has_target)
      fill(plan_.grad_logits.column(row, target), dtype, 1,
           of_column.at_target(gradient_at_target(scored, d), z, plan_.weight(target)));
  }

  void write_rest(std::int64_t row) const { visit_.write_rest(row); }

  void finish() const {
    plan_.write_totals(halving_sum<CrossEntropySums>(plan_.logits.rows, [&](std::int64_t row) {
      if (!rows_.counts(row)) {
        plan_.write_ignored(row);
        return CrossEntropySums();
      }
      const ScoredRow& scored = rows_.scored[row];
      return plan_.write_token(row, *rows_.totals, scored.status, scored.logp, scored.lse,
                               plan_.is_by_column() ? rows_.smooth[row] : 0);
    }));
  }

 private:
  template <class Value>
  static double sum(std::int64_t n, const Value& value) {
    return halving_sum<Sum>(n, [&](std::int64_t i) { return Sum{value(i)}; }).value;
  }

  CappedRow row_of(std::int64_t row) const { return {kernels_, plan_.logits, row, plan_.softcap}; }

  // Σ_c w_c·z_c of a tile: columns that are equal mod 256 in their order, then neighbours.
  double column_sum(const Tile& tile, std::int64_t index) const {
    double lanes[kLanes] = {};
    for (int i = 0; i < tile.columns; ++i)
      lanes[i % kLanes] += plan_.weighted(index * kTile + i, tile.z[i]);
    for (int size = 1; size < kLanes; size *= 2)
      for (int i = 0; i < kLanes; i += 2 * size) lanes[i] += lanes[i + size];
    return lanes[0];
  }

  void score_columns(std::int64_t k, std::int64_t row, TileScratch& scratch) const {
    const std::int64_t first = k * visit_.tiles();
    ScoredRow& scored = rows_.scored[row] = {};
    scored.status = RowStatus::bad_parameter;
    if (!rows_.totals->is_valid) return;
    scored = TargetRow(kernels_, plan_.logits, row_of(row), Temperature())
                 .score(records_ + first, plan_.targets.integer(row), false, plan_.wants_gradient(),
                        scratch);
    rows_.smooth[row] = 0;
    if (plan_.label_smoothing != 0)
      rows_.smooth[row] = plan_.smooth(
          *rows_.totals, scored,
          sum(visit_.tiles(), [&](std::int64_t i) { return rows_.column_sums[first + i]; }));
  }

  const CrossEntropyPlan& plan_;
  const Kernels& kernels_;
  const CrossEntropyRows& rows_;
  LossVisit visit_;
  TileRecord* records_;
};

}  // namespace

Status cross_entropy(const CrossEntropyPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) {
    plan.write_totals({});
    return {};
  }
  const std::int64_t tiles = tile_count(plan.logits.columns);
  LossMemory<CrossEntropyRows> memory(plan, context);
  const CrossEntropyRows& kept = memory.rows;
  const CrossEntropyVisit visit(plan, *kernels_for(context.simd), kept, memory.records());
  visit.list_rows();
  const auto measure = [&](std::int64_t k, std::int64_t first, std::int64_t last,
                           TileScratch& scratch) { visit.measure(k, first, last, scratch); };
  const auto score = [&](std::int64_t k, TileScratch& scratch) { visit.score(k, scratch); };
  const auto write = [&](std::int64_t k, std::int64_t first, std::int64_t last,
                         TileScratch& scratch) { visit.write_gradient(k, first, last, scratch); };
  const std::int64_t count = kept.totals->kept;
  if (count > 0 && plan.wants_gradient())
    LOGSUM_RETURN_IF_ERROR(visit_runs(context, count, tiles, measure, score, write));
  else if (count > 0)
    LOGSUM_RETURN_IF_ERROR(visit_runs(context, count, tiles, measure, score));
  visit.finish();
  if (!plan.wants_gradient()) return {};
  return parallel_rows(context, plan.logits.rows,
                       [&](std::int64_t row, TileScratch&) { visit.write_rest(row); });
}

}  // namespace logsum::cpu
