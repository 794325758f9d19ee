// SPDX-License-Identifier: Apache-2.0
// Losses: the second visit, of rows whose log-probs and derivatives are known. A CTA takes
// tiles that follow each other, a warp per chunk.
#include "cuda/device/grid.cuh"
#include "cuda/device/row_gradient.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_tiles.cuh"
#include "cuda/loss_call.hpp"
#include "cuda/vectors.hpp"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

constexpr int kThreads = kTileChunks * kWarp;
constexpr int kBlocks = 6;  // per SM; with eight, 64 registers, the loop spills

template <DType kDType, class Exp>
struct KnownRow {
  KnownGradient<kDType, Exp> gradient;
  GradientRest<kDType, Exp> rest;
  float at_target;

  __device__ __forceinline__ KnownRow(const LossCall& call, std::int64_t row) {
    ScoredRow scored = call.rows.scored[row];
    scored.status = call.rows.status[row];
    const float t = call.temperature(row);
    const Temperature temperature(is_valid_temperature(t) ? t : 1.0f);
    const RowDerivatives d =
        call.rows.derivatives[row].times(call.totals->grad_scale / static_cast<double>(t));
    gradient =
        known_gradient<kDType, Exp>(scored, temperature, d, call.plan.targets.integer(row), rest);
    at_target = static_cast<float>(gradient_at_target(scored, d));
  }
};

// kDType: of the gradient; kVectors: the logits are of it too, and both have vectors.
template <DType kDType, class Exp, bool kVectors>
__global__ __launch_bounds__(kThreads,
                             kBlocks) void gradients_kernel(const __grid_constant__ LossCall call,
                                                            int tiles_per_block) {
  using Fate = RowGradient::Fate;
  __shared__ Shared<KnownRow<kDType, Exp>> shared;
  const auto& known = (*shared).gradient;
  const RowsView& logits = call.logits;
  const RowsView& grad = call.plan.grad_logits;
  const bool has_entropy = call.plan.has_entropy_gradient;
  const std::int64_t tiles = tile_count(logits.columns);
  const L2Policy policy = L2Policy::evict_last();
  const int chunk = static_cast<int>(threadIdx.x) / kWarp;
  // From the last row on, as what was scored last may still be in L2: 1007 us instead of 1015
  // (GSPO, 4096 x 151936 bf16). That explains a part at most: the scoring CTAs end at 132 places at
  // once.
  std::int64_t i = std::int64_t{gridDim.x - 1 - blockIdx.x} * tiles_per_block;
  const std::int64_t end = min(i + tiles_per_block, logits.rows * tiles);
  while (i < end) {
    const std::int64_t row = i / tiles;
    const bool counts = call.counts(row);
    __syncthreads();
    if (threadIdx.x == 0 && counts) (*shared) = KnownRow<kDType, Exp>(call, row);
    __syncthreads();
    for (const std::int64_t last = min(end, (row + 1) * tiles); i < last; ++i) {
      const std::int64_t first = (i - row * tiles) * kTile + chunk * kChunk;
      const auto columns = static_cast<int>(min(logits.columns - first, std::int64_t{kChunk}));
      if (columns <= 0) continue;
      const auto at = [&](const RowsView& view) {
        return TensorTile(static_cast<std::byte*>(view.column(row, first)), size_of(view.dtype),
                          view.dtype);
      };
      const TensorTile out = at(grad);
      if (!counts || known.fate != Fate::computed) {
        fill_tile(columns, counts && known.fate == Fate::nan ? kNan : 0.0f, out);
        continue;
      }
      const TensorTile in = at(logits);
      const auto slowly = [&](const auto& f) { write_tile(columns, f, out, in); };
      const auto write = [&](const auto& f) {
        if (!kVectors || columns < kChunk) return slowly(f);
        if constexpr (kVectors) {
          Chunk<kDType> values;
          values.take_by(policy, in.at);
          write_chunk(f, out.at, values);
        }
      };
      if (is_careful(known))
        write_carefully((*shared).rest, slowly);
      else if (has_entropy)
        write_gradient<true>(known, write, slowly);
      else
        write_gradient<false>(known, write, slowly);
      const std::int64_t column = known.target - first;
      if (column >= 0 && column < columns) {
        __syncwarp();
        if (warp_lane() == 0) fill_one(out, static_cast<int>(column), (*shared).at_target);
      }
    }
  }
}

template <DType kDType, class Exp, bool kVectors>
Status launch(const LossCall& call, const Context& context) {
  constexpr std::int64_t kMostTiles = 16;
  return launch_runs_of_tiles(&gradients_kernel<kDType, Exp, kVectors>, call.logits, kThreads,
                              kBlocks, kMostTiles, context, call);
}

__global__ __launch_bounds__(kGridThreads) void padding_kernel(
    const __grid_constant__ LossCall call) {
  const RowsView& grad = call.plan.grad_logits;
  const std::int64_t padded = call.plan.padded_columns;
  each_by_thread(grad.rows * padded, [&](std::int64_t i) {
    void* const at = grad.column(i / padded, grad.columns + i % padded);
    if (grad.dtype == DType::f32)
      *static_cast<float*>(at) = 0.0f;
    else
      *static_cast<std::uint16_t*>(at) = 0;
  });
}

}  // namespace

Status write_gradients(const LossCall& call, const Context& context) {
  const RowsView& grad = call.plan.grad_logits;
  const bool vectors = have_vectors({&grad, &call.logits});
  return with_kind(grad.dtype, context, [&]<DType kDType, class Exp>() {
    return vectors ? launch<kDType, Exp, true>(call, context)
                   : launch<kDType, Exp, false>(call, context);
  });
}

Status write_padding(const LossCall& call, const Context& context) {
  if (!call.plan.wants_gradient() || call.plan.padded_columns == 0) return {};
  return launch_kernel(padding_kernel,
                       grid_for(call.plan.logits.rows * call.plan.padded_columns, kGridThreads),
                       kGridThreads, 0, context, call);
}

}  // namespace logsum::cuda
