// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax on the GPU: in one launch where rows suit rings. Elsewhere
// the tiles' sums in one launch, their gradients in a second, where each warp adds the sums of its
// row.
#include "core/backend.hpp"
#include "cuda/device/backward.cuh"
#include "cuda/device/ring_sums.cuh"
#include "cuda/launch_rings.cuh"
#include "cuda/launch_tiles.cuh"
#include "cuda/scratch.hpp"
#include "cuda/with_kind.hpp"
#include "ops/softmax.hpp"

namespace logsum::cuda {
namespace {

using Row = SoftmaxBackwardPlan::Row;

template <class Terms>
__global__ __launch_bounds__(kTileWarps* kWarp) void sum_tiles(
    const __grid_constant__ TileGrid grid, const __grid_constant__ SoftmaxBackwardPlan plan,
    double* sums) {
  __shared__ double lanes[kTileWarps][kLanes];
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    if (plan.row(row) != Row::computed) return;
    const double sum = sum_of_tile<Terms>(
        columns_of_tile(plan.output, tile), TensorTile(plan.grad_output, row, tile),
        TensorTile(plan.output, row, tile), lanes[threadIdx.x / kWarp]);
    if (warp_lane() == 0) sums[row * grid.tiles + tile] = sum;
  });
}

// What becomes of a row, and its sum, which is added in the order of its tiles.
struct KnownRow {
  std::int64_t row = -1;
  double sum = 0;
  Row fate = Row::nan;

  __device__ void find(const SoftmaxBackwardPlan& plan, const double* sums, std::int64_t tiles,
                       std::int64_t of_row) {
    if (of_row == row) return;
    row = of_row;
    fate = plan.row(row);
    if (fate != Row::computed) return;
    sum = sum_in_order(sums + row * tiles, tiles);
    fate = plan.row(row, sum);
  }
};

template <class Gradient>
__global__ __launch_bounds__(kTileWarps* kWarp) void write_gradients(
    const __grid_constant__ TileGrid grid, const __grid_constant__ SoftmaxBackwardPlan plan,
    const double* sums) {
  KnownRow known;
  for_each_tile(grid, [&](std::int64_t row, std::int64_t tile) {
    known.find(plan, sums, grid.tiles, row);
    const int columns = columns_of_tile(plan.output, tile);
    const TensorTile grad(plan.grad_logits, row, tile);
    if (known.fate != Row::computed)
      return fill_tile(columns, known.fate == Row::zero ? 0.0f : kNan, grad);
    write_tile(columns, Gradient(RowSum(known.sum, plan.temperature(row))), grad,
               TensorTile(plan.grad_output, row, tile), TensorTile(plan.output, row, tile));
  });
}

struct RingSum {
  RowSum sum;
  Row fate;
};

template <DType kDTypeOf, class Terms, class Gradient>
struct RingBackward : RingsInOrder {
  using Call = SoftmaxBackwardPlan;
  using Record = double;
  using Room = SumsRoom;
  using Measure = MeasureSums<RingBackward, Terms>;
  using Row = RingSum;
  static constexpr DType kDType = kDTypeOf;
  static constexpr RingUse kUse = RingUse::gradients;
  static constexpr bool kByHardware = std::is_same_v<Gradient, HardwareLogSoftmaxGradient>;
  static constexpr int kInputs = 2;

  LOGSUM_HOST_DEVICE static const RowsView& input(const Call& call, int i) {
    return i == 0 ? call.grad_output : call.output;
  }
  LOGSUM_HOST_DEVICE static const RowsView& output(const Call& call) { return call.grad_logits; }

  struct Given {
    Call::Row fate;
    float temperature;

    __device__ __forceinline__ Given(const Call& call, std::int64_t row)
        : fate(call.row(row)), temperature(call.temperature(row)) {}
  };
  struct Note {};
  struct Joined {};
  struct Ahead : Given {
    __device__ __forceinline__ Ahead(const Call&, const TileTemperature&, const Given& given)
        : Given(given) {}
  };

  __device__ __forceinline__ static Row join(const Call& call, std::int64_t, const Ahead& ahead,
                                             const double* sums, Joined&) {
    const double sum = sum_in_order(sums, tile_count(call.output.columns));
    return {RowSum(sum, ahead.temperature), Call::with_sum(ahead.fate, sum)};
  }

  __device__ __forceinline__ static void write_results(const Call&, std::int64_t, const Ahead&,
                                                       const Joined&) {}

  __device__ __forceinline__ static void emit(const Call&, const RingRow<RingBackward>& row,
                                              const Note&, const RingChunk<RingBackward>& chunk) {
    const Row& known = row.known;
    if (known.fate != Call::Row::computed)
      return chunk.fill(known.fate == Call::Row::zero ? 0.0f : kNan);
    const Gradient gradient(known.sum);
    if constexpr (kByHardware) {
      if (chunk.is_whole() && gradient.suits && !any_above_half<kDType>(chunk.input(1)))
        return chunk.write([gradient](float g, float logp) { return gradient.common(g, logp); });
    }
    chunk.write(gradient);
  }
};

template <class Terms, class Gradient>
Status run_twice(const SoftmaxBackwardPlan& plan, const Context& context) {
  const TileGrid grid = grid_of({&plan.grad_output, &plan.output, &plan.grad_logits});
  const std::size_t count = static_cast<std::size_t>(grid.rows * grid.tiles);
  const DeviceScratch scratch(launches_workspace_bytes(count * sizeof(double)),
                              DeviceScratch::Counters::unused, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  auto* const sums = scratch.at<double>(kSpanCounterBytes);
  LOGSUM_RETURN_IF_ERROR(launch_tiles(&sum_tiles<Terms>, grid, context, plan, sums));
  return launch_tiles(&write_gradients<Gradient>, grid, context, plan, sums);
}

template <class Terms, class Gradient>
Status run(const SoftmaxBackwardPlan& plan, const Context& context) {
  bool launched = false;
  const Status status = with_dtype(plan.output.dtype, [&]<DType kDType>() {
    return launch_rings<RingBackward<kDType, Terms, Gradient>>(
        plan, plan.temperature.value, {&plan.grad_output, &plan.output, &plan.grad_logits}, context,
        launched);
  });
  if (launched || !status.ok()) return status;
  return run_twice<Terms, Gradient>(plan, context);
}

}  // namespace

Status softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context) {
  return run<Products, SoftmaxGradient>(plan, context);
}

Status log_softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context) {
  if (context.determinism == Determinism::cross_device)
    return run<Live, LogSoftmaxGradient>(plan, context);
  return run<Live, HardwareLogSoftmaxGradient>(plan, context);
}

}  // namespace logsum::cuda
