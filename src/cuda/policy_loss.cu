// SPDX-License-Identifier: Apache-2.0
// policy_loss on the GPU: its steps (policy_call.hpp), and those that are small.
#include "core/backend.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/policy_call.hpp"
#include "cuda/scratch.hpp"
#include "cuda/with_kind.hpp"

namespace logsum::cuda {
namespace {

constexpr int kListThreads = 1024;
constexpr int kListWarps = kListThreads / kWarp;
constexpr int kAtOnce = 8;  // rows per thread whose flags are asked for together

// Σ of the CTA's threads' values, in all of them. Every thread calls.
__device__ __forceinline__ std::int64_t sum_of_threads(std::int64_t value, std::uint64_t* room) {
  const std::uint64_t sum = warp_sum(static_cast<std::uint64_t>(value));
  __syncthreads();
  if (warp_lane() == 0) room[threadIdx.x / kWarp] = sum;
  __syncthreads();
  return static_cast<std::int64_t>(warp_sum(room[warp_lane()]));
}

// Flags of rows `step` apart, asked for together: one after the other each would take a
// microsecond.
struct RowFlags {
  unsigned counts = 0, keeps_loss = 0;  // a bit per row

  __device__ __forceinline__ RowFlags(const PolicyLossPlan& plan, std::int64_t first,
                                      std::int64_t step, std::int64_t rows) {
    std::int64_t target[kAtOnce];
    std::uint8_t mask[kAtOnce], entropy[kAtOnce];
    const auto each = [&](const auto& body) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const std::int64_t row = first + i * step;
        if (row < rows) body(i, row);
      }
    };
    if (plan.targets.dtype == DType::i32)
      each([&](int i, std::int64_t row) { target[i] = plan.targets.raw<std::int32_t>(row); });
    else
      each([&](int i, std::int64_t row) { target[i] = plan.targets.raw<std::int64_t>(row); });
    if (plan.completion_mask)
      each([&](int i, std::int64_t row) { mask[i] = plan.completion_mask.raw<std::uint8_t>(row); });
    if (plan.entropy_mask)
      each([&](int i, std::int64_t row) { entropy[i] = plan.entropy_mask.raw<std::uint8_t>(row); });
    each([&](int i, std::int64_t) {
      const bool counted =
          target[i] != plan.ignore_index && (!plan.completion_mask || mask[i] != 0);
      counts |= counted << i;
      keeps_loss |= (counted && (!plan.entropy_mask || entropy[i] != 0)) << i;
    });
  }
};

__global__ __launch_bounds__(kListThreads) void list_kernel(
    const __grid_constant__ PolicyCall call) {
  __shared__ int counts[kAtOnce * kListWarps];
  __shared__ std::uint64_t room[kListWarps];
  const PolicyLossPlan& plan = call.plan;
  const std::int64_t rows = plan.logits.rows;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  std::int64_t before = 0, with_loss = 0;
  for (std::int64_t first = 0; first < rows; first += kAtOnce * kListThreads) {
    const RowFlags flags(plan, first + thread, kListThreads, rows);
    with_loss += __popc(flags.keeps_loss);
    unsigned votes[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      votes[i] = __ballot_sync(~0u, flags.counts >> i & 1);
      if (warp_lane() == 0) counts[i * kListWarps + warp] = __popc(votes[i]);
    }
    __syncthreads();
    // One warp makes them prefix sums: eight that follow each other per thread.
    if (warp == 0) {
      int own[kAtOnce], sum = 0;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        own[i] = sum;
        sum += counts[warp_lane() * kAtOnce + i];
      }
      const int others = static_cast<int>(warp_prefix_sum(static_cast<std::uint64_t>(sum))) - sum;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) counts[warp_lane() * kAtOnce + i] = others + own[i];
      if (warp_lane() == kWarp - 1) room[0] = static_cast<std::uint64_t>(others + sum);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const std::int64_t row = first + i * kListThreads + thread;
      if (row >= rows) continue;
      const std::int64_t place =
          before + counts[i * kListWarps + warp] + __popc(votes[i] & ((1u << warp_lane()) - 1));
      const bool counted = flags.counts >> i & 1;
      call.rows.before[row] = place;
      call.rows.list[counted ? place : rows - 1 - (row - place)] = {row, plan.sequence_of_row(row)};
    }
    before += static_cast<std::int64_t>(room[0]);
    __syncthreads();
  }
  if (thread == 0) call.rows.before[rows] = before;
  __syncthreads();
  std::int64_t nonempty = 0;
  for (std::int64_t i = thread; i < plan.sequences.count; i += kListThreads) {
    const TokenRange span = plan.sequences.range(i);
    const std::int64_t length = call.rows.before[span.end] - call.rows.before[span.begin];
    call.rows.lengths[i] = length;
    nonempty += length > 0;
  }
  with_loss = sum_of_threads(with_loss, room);
  nonempty = sum_of_threads(nonempty, room);
  if (thread == 0) *call.rows.totals = plan.totals(before, with_loss, nonempty);
}

__global__ __launch_bounds__(kGridThreads) void padding_kernel(
    const __grid_constant__ PolicyCall call) {
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

__global__ void empty_kernel(const __grid_constant__ PolicyLossPlan plan) { plan.write_totals({}); }

}  // namespace

Status list_rows(const PolicyCall& call, const Context& context) {
  return launch_kernel(list_kernel, 1, kListThreads, 0, context, call);
}

Status write_padding(const PolicyCall& call, const Context& context) {
  if (call.plan.padded_columns == 0) return {};
  return launch_kernel(padding_kernel,
                       grid_for(call.plan.logits.rows * call.plan.padded_columns, kGridThreads),
                       kGridThreads, 0, context, call);
}

Status policy_loss(const PolicyLossPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) return launch_kernel(empty_kernel, 1, 1, 0, context, plan);
  const std::size_t visit =
      PolicyRows::aligned(span_bytes(plan.logits.rows, tile_count(plan.logits.columns)));
  const auto rows = static_cast<std::size_t>(plan.logits.rows);
  const auto sequences = static_cast<std::size_t>(plan.sequences.count);
  PolicyRows kept;
  const DeviceScratch scratch(visit + kept.lay(nullptr, rows, sequences, true),
                              DeviceScratch::Counters::used, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  kept.lay(scratch.at<std::byte>(visit), rows, sequences, true);
  const PolicyCall call(plan, kept);
  const Context inside = scratch.in(context);
  LOGSUM_RETURN_IF_ERROR(list_rows(call, inside));
  bool written = !plan.wants_gradient();
  if (!written && !is_coupled(plan.options))
    LOGSUM_RETURN_IF_ERROR(with_dtype(plan.logits.dtype, [&]<DType kDType>() {
      return policy_rings_of<kDType>(call, inside, written);
    }));
  const bool scored = written && plan.wants_gradient();
  if (!scored) LOGSUM_RETURN_IF_ERROR(score_rows(call, inside));
  LOGSUM_RETURN_IF_ERROR(finish_sequences(call, scratch.at<unsigned>(0), !written, inside));
  if (!written) LOGSUM_RETURN_IF_ERROR(write_gradients(call, inside));
  return plan.wants_gradient() ? write_padding(call, inside) : Status();
}

}  // namespace logsum::cuda
