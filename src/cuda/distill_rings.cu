// SPDX-License-Identifier: Apache-2.0
// distill_loss where rows suit rings: a kernel that prepares rows and fills what isn't computed,
// then the ring.
#include "cuda/device/distill_ring.cuh"
#include "cuda/device/fill_row.cuh"
#include "cuda/device/grid.cuh"
#include "cuda/launch_kernel.hpp"
#include "cuda/launch_rings.cuh"

namespace logsum::cuda {
namespace {

using Side = DistillLossPlan::Side;

// Columns beyond vocab_size; of rows that don't count all.
__device__ __forceinline__ void fill_side(const Side& side, std::int64_t row, bool counts) {
  if (side.grad.data == nullptr) return;
  if (!counts)
    fill_row(side.grad.data + side.grad.index.offset(row),
             side.grad.columns * size_of(side.grad.dtype));
  const std::int64_t first = side.grad.columns;
  for (std::int64_t i = threadIdx.x; i < side.padded_columns; i += blockDim.x)
    *reinterpret_cast<std::uint16_t*>(side.grad.column(row, first + i)) = 0;
}

template <class Op>
__global__ __launch_bounds__(kGridThreads) void prepare_distill_kernel(const __grid_constant__
                                                                       typename Op::Call call) {
  let_next_kernel_start();
  wait_for_kernel_before();
  const DistillLossPlan& plan = call.plan;
  const DistillTotals& totals = *call.kept.totals;
  each_by_thread(plan.rows(), [&](std::int64_t i) {
    if (i < totals.counted) return Op::prepare(call, i);
    DistilledRow ignored;
    const std::int64_t row = call.listed(i);
    call.kept.terms[row] = plan.write_row(row, totals, ignored);
  });
  const bool has_padding = plan.student.padded_columns > 0 || plan.teacher.padded_columns > 0;
  const std::int64_t first = has_padding ? 0 : totals.counted;
  for (std::int64_t i = first + blockIdx.x; i < plan.rows(); i += gridDim.x) {
    const std::int64_t row = call.listed(i);
    fill_side(plan.student, row, i < totals.counted);
    fill_side(plan.teacher, row, i < totals.counted);
  }
}

template <DType kDType, bool kIsJsd>
Status run(const DistillCall& distill, const Context& context, bool& launched) {
  using Op = DistillRing<kDType, kIsJsd>;
  const typename Op::Call call(distill);
  const auto view_of = [](const Side& side) {
    return side.grad.data == nullptr ? &side.logits : &side.grad;
  };
  const Side &a = call.plan.first(), &b = call.plan.second();
  return launch_rings<Op>(
      call, 1.0f, {&a.logits, &b.logits, view_of(a), view_of(b)}, context, launched, [&] {
        return launch_early(&prepare_distill_kernel<Op>, fill_blocks(call.plan.rows()),
                            kGridThreads, context, call);
      });
}

}  // namespace

Status distill_by_rings(const DistillCall& call, const Context& context, bool& launched) {
  launched = false;
  if (!is_quick(call.plan, context)) {
    if (context.schedule != Schedule::rings) return {};
    return Status::error(StatusCode::unsupported,
                         "schedule: rings compare logits of bf16 or f16, under per_device, with a "
                         "beta from 1/16 to 15/16");
  }
  const auto of_dtype = [&]<DType kDType>() {
    return call.plan.divergence == Divergence::jsd ? run<kDType, true>(call, context, launched)
                                                   : run<kDType, false>(call, context, launched);
  };
  return call.plan.student.logits.dtype == DType::bf16 ? of_dtype.template operator()<DType::bf16>()
                                                       : of_dtype.template operator()<DType::f16>();
}

}  // namespace logsum::cuda
