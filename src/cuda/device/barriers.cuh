// SPDX-License-Identifier: Apache-2.0
// Barriers in shared memory (mbarrier), and what ends at them: copies from global memory, words for
// other CTAs of the cluster. From compute capability 9.0 on; before, no kernel gets here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/device/ptx.cuh"

namespace logsum::cuda {

// What the thread has written in shared memory comes before copies that are asked for from now on.
__device__ __forceinline__ void fence_copies() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Phases are told apart by their parity: 0, 1, 0, … Who waits may be one phase behind, not two.
class ByteBarrier {
 public:
  // By one thread; then fence_barriers, once.
  __device__ __forceinline__ void begin(unsigned arrivals = 1) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(address()), "r"(arrivals) : "memory");
#endif
  }
  __device__ __forceinline__ static void fence_barriers() {
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  }

  __device__ __forceinline__ void arrive() {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(address()) : "memory");
#endif
  }
  // And the phase doesn't end before so many bytes have come.
  __device__ __forceinline__ void arrive_expecting(unsigned bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes)
                 : "memory");
#endif
  }
  // At this barrier in another CTA of the cluster, by who has read there and written nothing: a
  // release would wait for all that it wrote anywhere.
  __device__ __forceinline__ void arrive_in(int block) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;"
        " mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [remote]; }" ::"r"(address()),
        "r"(block)
        : "memory");
#endif
  }

  // Copies `bytes`, a multiple of 16, between addresses that are. By one thread.
  __device__ __forceinline__ void copy(void* to, const void* from, unsigned bytes) {
    copy(shared_address(to), from, bytes);
  }
  __device__ __forceinline__ void copy(unsigned to, const void* from, unsigned bytes) {
    arrive_expecting(bytes);
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(to),
        "l"(from), "r"(bytes), "r"(address())
        : "memory");
#endif
  }
  // The same of bytes that are expected already.
  __device__ __forceinline__ void copy_expected(void* to, const void* from, unsigned bytes,
                                                L2Policy policy) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
        "l"(from), "r"(bytes), "r"(address()), "l"(policy.bits)
        : "memory");
#endif
  }
  // A word, to the place that `to` is in another CTA of the cluster: 8 bytes at its barrier. That
  // takes one way there; stores and a cluster barrier take a fence's way there and back, then the
  // barrier's (0.7 us of a decode step). In a cluster of one this is no instruction
  // (compute-sanitizer).
  __device__ __forceinline__ void push(unsigned long long* to, unsigned long long word, int block) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .b32 to, at; mapa.shared::cluster.u32 to, %0, %3;"
        " mapa.shared::cluster.u32 at, %1, %3;"
        " st.async.shared::cluster.mbarrier::complete_tx::bytes.b64 [to], %2, [at]; }" ::"r"(
            shared_address(to)),
        "r"(address()), "l"(word), "r"(block)
        : "memory");
#endif
  }

  // Until the phase has ended.
  __device__ __forceinline__ void wait(unsigned phase) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .pred done;\n"
        "again: mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
        "@!done bra again; }" ::"r"(address()),
        "r"(phase)
        : "memory");
#endif
  }
  // For a while at most.
  __device__ __forceinline__ void wait_briefly(unsigned phase) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .pred done; mbarrier.try_wait.parity.shared.b64 done, [%0], %1, %2; }" ::"r"(
            address()),
        "r"(phase), "n"(200)
        : "memory");
#endif
  }
  // The same where others of the cluster arrive.
  __device__ __forceinline__ void wait_for_cluster(unsigned phase) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .pred done;\n"
        "again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again; }" ::"r"(address()),
        "r"(phase)
        : "memory");
#endif
  }
  // Whether it has.
  __device__ __forceinline__ bool has_ended(unsigned phase) {
    unsigned done = 0;
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .pred done; mbarrier.test_wait.parity.shared.b64 done, [%1], %2;"
        " selp.u32 %0, 1, 0, done; }"
        : "=r"(done)
        : "r"(address()), "r"(phase)
        : "memory");
#endif
    return done;
  }

 private:
  __device__ __forceinline__ unsigned address() const { return shared_address(&state_); }

  unsigned long long state_;
};

}  // namespace logsum::cuda
