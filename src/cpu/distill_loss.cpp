// SPDX-License-Identifier: Apache-2.0
// distill_loss on the CPU: both rows of a pair are measured, compared and, where a gradient is
// wanted, compared once more while they are in cache. Few rows are cut into runs, step by step.
#include "ops/distill_loss.hpp"

#include "core/backend.hpp"
#include "core/halving_tree.hpp"
#include "core/lane_sums.hpp"
#include "core/row_blocks.hpp"
#include "core/workspace.hpp"
#include "cpu/row.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class DistillVisit {
 public:
  using Side = DistillLossPlan::Side;
  using Fate = DistillLossPlan::Fate;

  DistillVisit(const DistillLossPlan& plan, const Kernels& kernels, const DistillRows& rows,
               TileRecord* records)
      : plan_(plan),
        kernels_(kernels),
        rows_(rows),
        records_(records),
        tiles_(tile_count(plan.columns())) {}

  std::int64_t tiles() const { return tiles_; }

  void count() const {
    std::int64_t counted = 0;
    for (std::int64_t row = 0; row < plan_.rows(); ++row) counted += plan_.mask.counts(row);
    *rows_.totals = plan_.totals(counted);
  }

  // The steps of a row.
  void measure(std::int64_t row, std::int64_t first, std::int64_t last) const {
    if (!is_compared(row)) return;
    measure_side(plan_.student, row, first, last, records(row));
    measure_side(plan_.teacher, row, first, last, records(row) + tiles_);
  }

  void join(std::int64_t row) const {
    MeasuredPair& measured = rows_.measured[row];
    DistilledRow& result = rows_.rows[row];
    result = {};
    if (!plan_.mask.counts(row)) return;
    result.status = RowStatus::bad_parameter;
    if (!is_compared(row)) return;
    measured.student = join_side(plan_.student, row, records(row));
    measured.teacher = join_side(plan_.teacher, row, records(row) + tiles_);
    result.status = status_of_pair(measured.student.status, measured.teacher.status);
  }

  void sum(std::int64_t row, std::int64_t first, std::int64_t last) const {
    if (rows_.rows[row].status != RowStatus::ok) return;
    const DivergencePair pair = plan_.pair(row, rows_.measured[row], 1);
    for (std::int64_t tile = first; tile < last; ++tile)
      with_tiles(row, tile, [&](const Tile& a, const Tile& b) {
        rows_.sums[row * tiles_ + tile] = kernels_.sum_divergence(a, b, pair);
      });
  }

  void finish(std::int64_t row) const {
    DistilledRow& result = rows_.rows[row];
    if (result.status == RowStatus::ok)
      for (std::int64_t tile = 0; tile < tiles_; ++tile)
        result.sums.add(rows_.sums[row * tiles_ + tile]);
    rows_.terms[row] = plan_.write_row(row, *rows_.totals, result);
  }

  void write(std::int64_t row, std::int64_t first, std::int64_t last) const {
    const DistilledRow& result = rows_.rows[row];
    const Fate a = plan_.fate(result, *rows_.totals, true);
    const Fate b = plan_.fate(result, *rows_.totals, false);
    if (a == Fate::computed || b == Fate::computed) {
      const DivergencePair pair = plan_.pair(row, rows_.measured[row], rows_.totals->factor);
      const DivergenceGradient gradient(pair, result.sums);
      for (std::int64_t tile = first; tile < last; ++tile)
        with_tiles(row, tile, [&](const Tile& tile_a, const Tile& tile_b) {
          kernels_.write_divergence_gradients(tile_a, tile_b, pair, gradient,
                                              place(plan_.first(), a, row, tile),
                                              place(plan_.second(), b, row, tile));
        });
    }
    fill_side(plan_.first(), a, row, first, last);
    fill_side(plan_.second(), b, row, first, last);
  }

  double loss() const {
    return halving_sum<Sum>(plan_.rows(), [&](std::int64_t row) { return Sum{rows_.terms[row]}; })
        .value;
  }

 private:
  bool is_compared(std::int64_t row) const {
    return plan_.mask.counts(row) && rows_.totals->is_valid && plan_.has_temperatures(row);
  }
  TileRecord* records(std::int64_t row) const { return records_ + 2 * row * tiles_; }

  void measure_side(const Side& side, std::int64_t row, std::int64_t first, std::int64_t last,
                    TileRecord* records) const {
    const Temperature temperature(side.temperature(row));
    Row(kernels_, side.logits, row).measure(first, last, {temperature}, records + first);
  }

  MeasuredRow join_side(const Side& side, std::int64_t row, const TileRecord* records) const {
    RowStatus status;
    const RowMeasure measure = Row(kernels_, side.logits, row).join_records(records, status);
    if (status != RowStatus::ok) return MeasuredRow(status);
    return {measure, weight_of_max(measure, Temperature(side.temperature(row)))};
  }

  template <class Body>
  void with_tiles(std::int64_t row, std::int64_t tile, const Body& body) const {
    TileScratch a, b;
    body(Row(kernels_, plan_.first().logits, row).load(tile, a),
         Row(kernels_, plan_.second().logits, row).load(tile, b));
  }

  static GradientTile place(const Side& side, Fate fate, std::int64_t row, std::int64_t tile) {
    const bool is_written = side.grad.data != nullptr && fate == Fate::computed;
    return {is_written ? side.grad.column(row, tile * kTile) : nullptr, side.grad.dtype};
  }

  // What isn't computed: rows without gradients, columns beyond vocab_size.
  void fill_side(const Side& side, Fate fate, std::int64_t row, std::int64_t first,
                 std::int64_t last) const {
    if (side.grad.data == nullptr) return;
    const std::int64_t begin = first * kTile, end = std::min(plan_.columns(), last * kTile);
    if (fate != Fate::computed)
      fill(side.grad.column(row, begin), side.grad.dtype, end - begin,
           fate == Fate::zero ? 0.0f : kNan);
    if (last == tiles_)
      fill(side.grad.column(row, plan_.columns()), side.grad.dtype, side.padded_columns, 0.0f);
  }

  const DistillLossPlan& plan_;
  const Kernels& kernels_;
  const DistillRows& rows_;
  TileRecord* records_;
  std::int64_t tiles_;
};

Status visit_rows(const DistillLossPlan& plan, const DistillVisit& visit, const Context& context) {
  const std::int64_t rows = plan.rows(), tiles = visit.tiles();
  if (are_many(context, rows))
    return parallel_rows(context, rows, [&](std::int64_t row, TileScratch&) {
      visit.measure(row, 0, tiles);
      visit.join(row);
      visit.sum(row, 0, tiles);
      visit.finish(row);
      if (plan.wants_gradient()) visit.write(row, 0, tiles);
    });
  const auto each_row = [&](void (DistillVisit::*step)(std::int64_t) const) {
    return parallel_rows(context, rows,
                         [&](std::int64_t row, TileScratch&) { (visit.*step)(row); });
  };
  const auto each_run = [&](void (DistillVisit::*step)(std::int64_t, std::int64_t, std::int64_t)
                                const) {
    return parallel_runs(context, rows, tiles,
                         [&](std::int64_t row, std::int64_t first, std::int64_t last,
                             TileScratch&) { (visit.*step)(row, first, last); });
  };
  LOGSUM_RETURN_IF_ERROR(each_run(&DistillVisit::measure));
  LOGSUM_RETURN_IF_ERROR(each_row(&DistillVisit::join));
  LOGSUM_RETURN_IF_ERROR(each_run(&DistillVisit::sum));
  LOGSUM_RETURN_IF_ERROR(each_row(&DistillVisit::finish));
  return plan.wants_gradient() ? each_run(&DistillVisit::write) : Status();
}

}  // namespace

Status distill_loss(const DistillLossPlan& plan, const Context& context) {
  if (plan.rows() == 0) {
    set_scalar(plan.loss, 0);
    return {};
  }
  const auto rows = static_cast<std::size_t>(plan.rows());
  const auto tiles = static_cast<std::size_t>(tile_count(plan.columns()));
  const std::size_t records = Layout::aligned(rows * tiles * sizeof(TileRecord[2]));
  DistillRows kept;
  Scratch<std::byte> workspace(context, records + kept.lay(nullptr, rows, tiles, false));
  kept.lay(workspace.data() + records, rows, tiles, false);
  const DistillVisit visit(plan, *kernels_for(context.simd), kept,
                           reinterpret_cast<TileRecord*>(workspace.data()));
  visit.count();
  LOGSUM_RETURN_IF_ERROR(visit_rows(plan, visit, context));
  set_scalar(plan.loss, visit.loss());
  return {};
}

}  // namespace logsum::cpu
