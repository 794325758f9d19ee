// SPDX-License-Identifier: Apache-2.0
// approx_kl on the GPU: a CTA per run of tokens, whose sums are added in the tokens' order as on
// the CPU, one thread per sum; then one thread adds those of all runs, as their order is fixed too.
#include "ops/approx_kl.hpp"

#include "core/backend.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/scratch.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {
namespace {

// Terms of the tokens that a CTA takes at once.
struct Terms {
  double kl[3][kGridThreads];
  unsigned char counts[kGridThreads], overflows[kGridThreads];
};

__device__ void put_terms(Terms& terms, const KlSums& token) {
  const unsigned i = threadIdx.x;
  terms.kl[0][i] = token.k1;
  terms.kl[1][i] = token.k2;
  terms.kl[2][i] = token.k3;
  terms.counts[i] = static_cast<unsigned char>(token.count);
  terms.overflows[i] = static_cast<unsigned char>(token.overflow_count);
}

__global__ __launch_bounds__(kGridThreads) void runs_kernel(
    const __grid_constant__ ApproxKlPlan plan, KlSums* sums) {
  __shared__ Terms terms;
  const std::int64_t runs = kl_runs(plan.tokens);
  for (std::int64_t run = blockIdx.x; run < runs; run += gridDim.x) {
    double sum = 0;
    std::int64_t count = 0;
    const std::int64_t end = min((run + 1) * kKlRun, plan.tokens);
    for (std::int64_t first = run * kKlRun; first < end; first += kGridThreads) {
      const std::int64_t token = first + threadIdx.x;
      put_terms(terms, token < end ? plan.write_token(token) : KlSums());
      __syncthreads();
      if (threadIdx.x < 3)
        for (int i = 0; i < kGridThreads; ++i) sum += terms.kl[threadIdx.x][i];
      else if (threadIdx.x < 5)
        for (int i = 0; i < kGridThreads; ++i)
          count += threadIdx.x == 3 ? terms.counts[i] : terms.overflows[i];
      __syncthreads();
    }
    switch (threadIdx.x) {
      case 0: sums[run].k1 = sum; break;
      case 1: sums[run].k2 = sum; break;
      case 2: sums[run].k3 = sum; break;
      case 3: sums[run].count = count; break;
      case 4: sums[run].overflow_count = count; break;
      default: break;
    }
  }
}

__global__ void total_kernel(const __grid_constant__ ApproxKlPlan plan, const KlSums* sums) {
  KlSums total;
  const std::int64_t runs = kl_runs(plan.tokens);
  for (std::int64_t run = 0; run < runs; ++run) total.add(sums[run]);
  plan.write_means(total);
}

}  // namespace

Status approx_kl(const ApproxKlPlan& plan, const Context& context) {
  const std::int64_t runs = kl_runs(plan.tokens);
  const DeviceScratch scratch(kSpanCounterBytes + static_cast<std::size_t>(runs) * sizeof(KlSums),
                              DeviceScratch::Counters::unused, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  auto* const sums = scratch.at<KlSums>(kSpanCounterBytes);
  LOGSUM_RETURN_IF_ERROR(
      launch_kernel(runs_kernel, grid_for(runs, 1), kGridThreads, 0, context, plan, sums));
  return launch_kernel(total_kernel, 1, 1, 0, context, plan, sums);
}

}  // namespace logsum::cuda
