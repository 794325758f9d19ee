// SPDX-License-Identifier: Apache-2.0
// logsumexp on the CPU: a row's measure is the result. Its gradient reads the logits once and needs
// no sum: lse is the forward's.
#include "ops/logsumexp.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "cpu/measured_rows.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

void finish(const LogsumexpPlan& plan, const MeasuredRows& measured, std::int64_t row) {
  RowStatus status;
  const RowMeasure measure = measured.join(row, status);
  float lse = lse_of_failed(status);
  if (status == RowStatus::ok) {
    const Temperature temperature(plan.temperature(row));
    lse = row_lse(measure, RowNorm(measure, temperature), temperature);
  }
  plan.lse.set(row, lse);
  plan.row_status.set_integer(row, 0, static_cast<int>(status));
}

void write_gradient(const LogsumexpBackwardPlan& plan, const Kernels& kernels,
                    const RowBlocks& blocks, std::int64_t block, std::int64_t tile,
                    TaskScratch& scratch) {
  using Fate = LogsumexpBackwardPlan::Row;
  const DType dtype = plan.grad_logits.dtype;
  // A tile at once: its largest logit decides how all of it is written.
  blocks.for_each_piece(
      block, tile, tile + 1, kTile, scratch.room,
      [&](const RowSpan& rows, const ColumnSpan& columns, std::byte* room) {
        const Staged logits = Staged(plan.logits, rows, columns, room).gather();
        const Staged output(plan.grad_logits, rows, columns, room);
        for (std::int64_t i = 0; i < rows.count; ++i) {
          const std::int64_t row = rows.first + i;
          const Fate fate = plan.row(row);
          if (fate != Fate::computed) {
            fill(output.row(i), dtype, columns.count, fate == Fate::zero ? 0.0f : kNan);
            continue;
          }
          const float t = plan.temperature(row);
          const RowExp exp(plan.lse.real(row) * t, plan.grad_output.real(row) / t, Temperature(t));
          kernels.emit_exp(kernels.load(logits.row(i), plan.logits.dtype,
                                        static_cast<int>(columns.count), scratch),
                           exp, output.row(i), dtype);
        }
        output.scatter();
      });
}

}  // namespace

Status logsumexp(const LogsumexpPlan& plan, const Context& context) {
  const Kernels& kernels = *kernels_for(context.simd);
  const RowBlocks blocks({&plan.logits});
  const auto records = static_cast<std::size_t>(plan.logits.rows * blocks.tiles());
  Scratch<std::byte> workspace(context, records * sizeof(TileRecord) + blocks.staging_bytes());
  auto* const tile_records = reinterpret_cast<TileRecord*>(workspace.data());
  const MeasuredRows measured(kernels, plan.logits, plan.temperature, blocks, tile_records);
  return visit_runs(
      context, blocks.count(), blocks.tiles(),
      [&](std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) {
        measured.measure(block, first, last, scratch);
      },
      [&](std::int64_t block, TileScratch&) {
        const RowSpan rows = blocks.rows(block);
        for (std::int64_t i = 0; i < rows.count; ++i) finish(plan, measured, rows.first + i);
      },
      NoEmit(), staging_rooms(tile_records + records, blocks));
}

Status logsumexp_backward(const LogsumexpBackwardPlan& plan, const Context& context) {
  const Kernels& kernels = *kernels_for(context.simd);
  const RowBlocks blocks({&plan.logits, &plan.grad_logits});
  Scratch<std::byte> workspace(context, blocks.staging_bytes());
  return parallel_rows(
      context, blocks.count() * blocks.tiles(),
      [&](std::int64_t i, TaskScratch& scratch) {
        write_gradient(plan, kernels, blocks, i / blocks.tiles(), i % blocks.tiles(), scratch);
      },
      staging_rooms(workspace.data(), blocks));
}

}  // namespace logsum::cpu
