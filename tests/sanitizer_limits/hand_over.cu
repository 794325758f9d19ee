// SPDX-License-Identifier: Apache-2.0
// What racecheck can't see: two warps that hand a place in shared memory over and back by fences,
// an atomic, a release and an acquire. By the PTX memory model they synchronize (fence-fence by the
// atomic, release-acquire by the flag), so no access races with another. racecheck knows barriers
// only and reports them. visit_spans.cuh hands over the records of rows in progress this way.
#include <cuda_runtime.h>

#include <cstdio>

namespace {

constexpr int kWarp = 32, kRounds = 8, kSkipped = 77;

__global__ void hand_over(int* sums) {
  __shared__ int value[kWarp];
  __shared__ unsigned arrived, holder;
  if (threadIdx.x == 0) arrived = holder = 0;
  __syncthreads();
  const auto flag = static_cast<unsigned>(__cvta_generic_to_shared(&holder));
  const unsigned lane = threadIdx.x % kWarp;
  int sum = 0;
  for (unsigned round = 0; round < kRounds; ++round) {
    if (threadIdx.x < kWarp) {  // there: as soon as the place is free
      unsigned free = 0;
      do asm volatile("ld.acquire.cta.shared.u32 %0, [%1];" : "=r"(free) : "r"(flag) : "memory");
      while (free != round);
      value[lane] = static_cast<int>(round + lane);
      __threadfence_block();
      __syncwarp();
      if (lane == 0) atomicAdd(&arrived, 1);
    } else {  // and back
      if (lane == 0)
        while (atomicAdd(&arrived, 0) != round + 1) {
        }
      __syncwarp();
      __threadfence_block();
      sum += value[kWarp - 1 - lane];
      __syncwarp();
      if (lane == 0)
        asm volatile("st.release.cta.shared.u32 [%0], %1;" ::"r"(flag), "r"(round + 1) : "memory");
    }
  }
  if (threadIdx.x >= kWarp) sums[lane] = sum;
}

}  // namespace

int main() {
  int* sums = nullptr;
  if (cudaMalloc(&sums, kWarp * sizeof(int)) != cudaSuccess) return kSkipped;
  hand_over<<<1, 2 * kWarp>>>(sums);
  int got[kWarp] = {};
  if (cudaMemcpy(got, sums, sizeof got, cudaMemcpyDeviceToHost) != cudaSuccess) return 1;
  for (int i = 0; i < kWarp; ++i)
    if (got[i] != kRounds * (kRounds - 1) / 2 + kRounds * (kWarp - 1 - i)) {
      std::printf("sum %d is %d\n", i, got[i]);
      return 1;
    }
  std::puts("all values arrived");
  return 0;
}
