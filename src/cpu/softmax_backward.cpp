// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax on the CPU: a sum per row, in f64, tile by tile, then one
// write.
#include "core/backend.hpp"
#include "core/row_blocks.hpp"
#include "core/workspace.hpp"
#include "cpu/visit.hpp"
#include "ops/softmax.hpp"

namespace logsum::cpu {
namespace {

using Sum = double (*)(const Tile& g, const Tile& output);
using Gradient = void (*)(const Tile& g, const Tile& output, const RowSum& sum, void* out,
                          DType dtype);

class Backward {
 public:
  Backward(const SoftmaxBackwardPlan& plan, const Kernels& kernels, Sum sum, Gradient gradient,
           const RowBlocks& blocks, double* sums)
      : plan_(plan),
        kernels_(kernels),
        sum_(sum),
        gradient_(gradient),
        blocks_(blocks),
        sums_(sums) {}

  void measure(std::int64_t block, std::int64_t first, std::int64_t last,
               TaskScratch& scratch) const {
    blocks_.for_each_piece(
        block, first, last, kTile, scratch.room,
        [&](const RowSpan& rows, const ColumnSpan& columns, std::byte* room) {
          const Staged g = Staged(plan_.grad_output, rows, columns, room).gather();
          const Staged output = Staged(plan_.output, rows, columns, room).gather();
          for (std::int64_t i = 0; i < rows.count; ++i) {
            const std::int64_t row = rows.first + i;
            if (plan_.row(row) != Row::computed) continue;
            for_each_tile(columns, [&](std::int64_t column, int width) {
              double& sum = sums(row)[(columns.first + column) / kTile];
              with_tiles(g.row(i, column), output.row(i, column), width,
                         [&](const Tile& g_tile, const Tile& output_tile) {
                           sum = sum_(g_tile, output_tile);
                         });
            });
          }
        });
  }

  // A row's sum, in the place of its first tile's.
  void finish(std::int64_t block) const {
    const RowSpan rows = blocks_.rows(block);
    for (std::int64_t row = rows.first; row < rows.first + rows.count; ++row)
      if (plan_.row(row) == Row::computed)
        for (std::int64_t tile = 1; tile < blocks_.tiles(); ++tile) sums(row)[0] += sums(row)[tile];
  }

  void emit(std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) const {
    const DType dtype = plan_.grad_logits.dtype;
    blocks_.for_each_piece(
        block, first, last, kChunk, scratch.room,
        [&](const RowSpan& rows, const ColumnSpan& columns, std::byte* room) {
          const Staged g = Staged(plan_.grad_output, rows, columns, room).gather();
          const Staged output = Staged(plan_.output, rows, columns, room).gather();
          const Staged grad = Staged(plan_.grad_logits, rows, columns, room);
          for (std::int64_t i = 0; i < rows.count; ++i) {
            const std::int64_t row = rows.first + i;
            const double sum = sums(row)[0];
            const Row fate = plan_.row(row, sum);
            if (fate != Row::computed) {
              fill(grad.row(i), dtype, columns.count, fate == Row::zero ? 0.0f : kNan);
              continue;
            }
            const RowSum row_sum(sum, plan_.temperature(row));
            for_each_tile(columns, [&](std::int64_t column, int width) {
              with_tiles(g.row(i, column), output.row(i, column), width,
                         [&](const Tile& g_tile, const Tile& output_tile) {
                           gradient_(g_tile, output_tile, row_sum, grad.row(i, column), dtype);
                         });
            });
          }
          grad.scatter();
        });
  }

 private:
  using Row = SoftmaxBackwardPlan::Row;

  double* sums(std::int64_t row) const { return sums_ + row * blocks_.tiles(); }

  template <class Body>
  void with_tiles(const void* g, const void* output, int columns, const Body& body) const {
    TileScratch g_scratch, output_scratch;
    body(kernels_.load(g, plan_.grad_output.dtype, columns, g_scratch),
         kernels_.load(output, plan_.output.dtype, columns, output_scratch));
  }

  const SoftmaxBackwardPlan& plan_;
  const Kernels& kernels_;
  const Sum sum_;
  const Gradient gradient_;
  const RowBlocks& blocks_;
  double* sums_;
};

Status run(const SoftmaxBackwardPlan& plan, const Context& context, Sum Kernels::*sum,
           Gradient Kernels::*gradient) {
  const Kernels& kernels = *kernels_for(context.simd);
  const RowBlocks blocks({&plan.grad_output, &plan.output, &plan.grad_logits});
  const auto count = static_cast<std::size_t>(plan.output.rows * blocks.tiles());
  Scratch<std::byte> workspace(context, count * sizeof(double) + blocks.staging_bytes());
  auto* const sums = reinterpret_cast<double*>(workspace.data());
  const Backward backward(plan, kernels, kernels.*sum, kernels.*gradient, blocks, sums);
  return visit_runs(
      context, blocks.count(), blocks.tiles(),
      [&](std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) {
        backward.measure(block, first, last, scratch);
      },
      [&](std::int64_t block, TileScratch&) { backward.finish(block); },
      [&](std::int64_t block, std::int64_t first, std::int64_t last, TaskScratch& scratch) {
        backward.emit(block, first, last, scratch);
      },
      staging_rooms(sums + count, blocks));
}

}  // namespace

Status softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context) {
  return run(plan, context, &Kernels::sum_products, &Kernels::softmax_gradient);
}

Status log_softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context) {
  return run(plan, context, &Kernels::sum_live, &Kernels::log_softmax_gradient);
}

}  // namespace logsum::cpu
