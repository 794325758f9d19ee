// SPDX-License-Identifier: Apache-2.0
// approx_kl on the GPU: a CTA per run of tokens, whose sums are added in the tokens' order as on
// the CPU; then one CTA adds those of all runs, as their order is fixed too.
#include "ops/approx_kl.hpp"

#include "core/backend.hpp"
#include "cuda/device/grid.cuh"
#include "cuda/grid.hpp"
#include "cuda/launch_kernel.hpp"
#include "cuda/scratch.hpp"
#include "logsum/context.hpp"

namespace logsum::cuda {
namespace {

// An addition waits for the one before it, so what counts is that nothing else is waited for: one
// warp adds, a thread per sum, while the others bring what comes next. They bring 256 tokens in the
// time of some 200 additions.
constexpr int kBringers = 8 * kWarp;
constexpr int kThreads = kWarp + kBringers;
constexpr int kSums = 5;  // k1, k2, k3, and counts, which f64 holds exactly

struct Terms {
  alignas(16) double of[kSums][kBringers + 2];  // + 2: each adding thread has its own banks

  __device__ void put(int i, const KlSums& term) {
    of[0][i] = term.k1;
    of[1][i] = term.k2;
    of[2][i] = term.k3;
    of[3][i] = static_cast<double>(term.count);
    of[4][i] = static_cast<double>(term.overflow_count);
  }
};

// sum + the first `count` of the terms, a multiple of kAtOnce; the loads of as many go ahead.
constexpr int kAtOnce = 64;
__device__ __forceinline__ double add_terms(double sum, const double* terms, int count) {
#pragma unroll 1
  for (int first = 0; first < count; first += kAtOnce)
#pragma unroll
    for (int i = 0; i < kAtOnce; i += 2) {
      const double2 two = *reinterpret_cast<const double2*>(terms + first + i);
      sum = __dadd_rn(__dadd_rn(sum, two.x), two.y);
    }
  return sum;
}

// 0 + term(0) + term(1) + … + term(count − 1), by the whole CTA; the first warp gets it. Behind the
// last, zeros are added, which changes no sum: none is −0.
template <class Term>
__device__ __forceinline__ KlSums add_in_order(std::int64_t count, const Term& term) {
  __shared__ Terms terms[2];
  const auto thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  for (std::int64_t first = 0; first < count + kBringers; first += kBringers) {
    const auto parity = static_cast<int>(first / kBringers % 2);
    if (thread >= kWarp) {
      const std::int64_t i = first + thread - kWarp;
      if (first < count) terms[parity].put(thread - kWarp, i < count ? term(i) : KlSums());
    } else if (thread < kSums && first > 0) {
      const std::int64_t left = min(count - (first - kBringers), std::int64_t{kBringers});
      sum = add_terms(sum, terms[1 - parity].of[thread],
                      (static_cast<int>(left) + kAtOnce - 1) / kAtOnce * kAtOnce);
    }
    __syncthreads();
  }
  const auto sum_of = [sum](int i) { return __shfl_sync(~0u, sum, i); };
  const auto count_of = [sum](int i) {
    return static_cast<std::int64_t>(__shfl_sync(~0u, sum, i));
  };
  return {sum_of(0), sum_of(1), sum_of(2), count_of(3), count_of(4)};
}

__global__ __launch_bounds__(kThreads) void runs_kernel(const __grid_constant__ ApproxKlPlan plan,
                                                        KlSums* sums) {
  const std::int64_t runs = kl_runs(plan.tokens);
  for (std::int64_t run = blockIdx.x; run < runs; run += gridDim.x) {
    const std::int64_t first = run * kKlRun;
    const KlSums sum = add_in_order(min(plan.tokens - first, kKlRun),
                                    [&](std::int64_t i) { return plan.write_token(first + i); });
    if (threadIdx.x == 0) sums[run] = sum;
  }
}

__global__ __launch_bounds__(kThreads) void total_kernel(const __grid_constant__ ApproxKlPlan plan,
                                                         const KlSums* sums) {
  const KlSums total =
      add_in_order(kl_runs(plan.tokens), [&](std::int64_t run) { return sums[run]; });
  if (threadIdx.x == 0) plan.write_means(total);
}

}  // namespace

Status approx_kl(const ApproxKlPlan& plan, const Context& context) {
  const std::int64_t runs = kl_runs(plan.tokens);
  const DeviceScratch scratch(kSpanCounterBytes + static_cast<std::size_t>(runs) * sizeof(KlSums),
                              DeviceScratch::Counters::unused, context);
  LOGSUM_RETURN_IF_ERROR(scratch.status());
  auto* const sums = scratch.at<KlSums>(kSpanCounterBytes);
  LOGSUM_RETURN_IF_ERROR(
      launch_kernel(runs_kernel, grid_for(runs, 1), kThreads, 0, context, plan, sums));
  return launch_kernel(total_kernel, 1, kThreads, 0, context, plan, sums);
}

}  // namespace logsum::cuda
