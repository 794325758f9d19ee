// SPDX-License-Identifier: Apache-2.0
// softmax and log_softmax on the CPU: a row is measured, then read a second time (from cache, where
// it fits) and written.
#include "ops/softmax.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "cpu/measured_rows.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

enum class Form { probabilities, log_probabilities };

template <Form kForm>
class Writer {
 public:
  Writer(const SoftmaxPlan& plan, const Kernels& kernels, const RowBlocks& blocks, SoftmaxRow* rows)
      : plan_(plan), kernels_(kernels), blocks_(blocks), rows_(rows) {}

  void finish(std::int64_t block, const MeasuredRows& measured) const {
    const RowSpan rows = blocks_.rows(block);
    for (std::int64_t row = rows.first; row < rows.first + rows.count; ++row) {
      SoftmaxRow& result = rows_[row];
      const RowMeasure measure = measured.join(row, result.status);
      plan_.row_status.set_integer(row, 0, static_cast<int>(result.status));
      if (result.status != RowStatus::ok) continue;
      const Temperature temperature(plan_.temperature(row));
      if constexpr (kForm == Form::probabilities)
        result.exp = RowExp::softmax(measure, temperature);
      else
        result.norm = RowNorm(measure, temperature);
    }
  }

  void emit(std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) const {
    blocks_.for_each_piece(
        block, first, last, kChunk, scratch.room,
        [&](const RowSpan& rows, const ColumnSpan& columns, std::byte* room) {
          const Staged logits = Staged(plan_.logits, rows, columns, room).gather();
          const Staged output(plan_.output, rows, columns, room);
          for (std::int64_t i = 0; i < rows.count; ++i) {
            const SoftmaxRow& row = rows_[rows.first + i];
            if (row.status != RowStatus::ok) {
              fill(output.row(i), plan_.output.dtype, columns.count, kNan);
              continue;
            }
            for_each_tile(columns, [&](std::int64_t column, int width) {
              write(row, logits.row(i, column), output.row(i, column), width, scratch);
            });
          }
          output.scatter();
        });
  }

 private:
  void write(const SoftmaxRow& row, const void* logits, void* out, int columns,
             TaskScratch& scratch) const {
    const Tile tile = kernels_.load(logits, plan_.logits.dtype, columns, scratch);
    if constexpr (kForm == Form::probabilities)
      kernels_.emit_exp(tile, row.exp, out, plan_.output.dtype);
    else
      kernels_.emit_logprobs(tile, row.norm, out, plan_.output.dtype);
  }

  const SoftmaxPlan& plan_;
  const Kernels& kernels_;
  const RowBlocks& blocks_;
  SoftmaxRow* rows_;
};

template <Form kForm>
Status run(const SoftmaxPlan& plan, const Context& context) {
  const Kernels& kernels = *kernels_for(context.simd);
  const RowBlocks blocks({&plan.logits, &plan.output});
  const auto rows = static_cast<std::size_t>(plan.logits.rows);
  const std::size_t records = rows * static_cast<std::size_t>(blocks.tiles());
  Scratch<std::byte> workspace(
      context, rows * sizeof(SoftmaxRow) + records * sizeof(TileRecord) + blocks.staging_bytes());
  auto* const row_states = reinterpret_cast<SoftmaxRow*>(workspace.data());
  auto* const tile_records = reinterpret_cast<TileRecord*>(row_states + rows);
  const MeasuredRows measured(kernels, plan.logits, plan.temperature, blocks, tile_records);
  const Writer<kForm> writer(plan, kernels, blocks, row_states);
  return visit_runs(
      context, blocks.count(), blocks.tiles(),
      [&](std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) {
        measured.measure(block, first, last, scratch);
      },
      [&](std::int64_t block, TileScratch&) { writer.finish(block, measured); },
      [&](std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) {
        writer.emit(block, first, last, scratch);
      },
      staging_rooms(tile_records + records, blocks));
}

}  // namespace

Status softmax(const SoftmaxPlan& plan, const Context& context) {
  return run<Form::probabilities>(plan, context);
}

Status log_softmax(const SoftmaxPlan& plan, const Context& context) {
  return run<Form::log_probabilities>(plan, context);
}

}  // namespace logsum::cpu
