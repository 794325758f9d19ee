// SPDX-License-Identifier: Apache-2.0
// Inline PTX, and what an older GPU does instead. That of barriers is in barriers.cuh.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "logsum/dtype.hpp"

namespace logsum::cuda {

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// 16 bytes that are read once: not kept in L1; 256 bytes of them are fetched into L2.
__device__ __forceinline__ uint4 load_once(const void* p) {
  uint4 v;
#if __CUDA_ARCH__ >= 800
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.b32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
#else
  asm volatile("ld.global.nc.L1::no_allocate.v4.b32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
#endif
  return v;
}

// What L2 does with the lines that are read.
struct L2Policy {
  std::uint64_t bits = 0;

  // Thrown out last: of logits that are read once this leaves the memory 5 to 8 % faster where as
  // much is written (docs/design/cuda.md).
  __device__ __forceinline__ static L2Policy evict_last() {
    L2Policy policy;
#if __CUDA_ARCH__ >= 900
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy.bits));
#endif
    return policy;
  }
};

// 16 bytes, of what this kernel writes too.
__device__ __forceinline__ uint4 load_by(L2Policy policy, const void* p) {
#if __CUDA_ARCH__ >= 900
  uint4 v;
  asm volatile("ld.global.L2::cache_hint.v4.b32 {%0,%1,%2,%3},[%4],%5;"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p), "l"(policy.bits)
               : "memory");
  return v;
#else
  return *static_cast<const uint4*>(p);
#endif
}

// 16 bytes of shared memory, by its own address: a pointer's is put together anew at each use.
__device__ __forceinline__ uint4 load_shared(unsigned address) {
  uint4 v;
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

// 2^x within 2 ulp; subnormal results are 0.
__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0,%1;" : "=f"(y) : "f"(x));
  return y;
}

// The larger of two; the canonical NaN (0x7fffffff) if either is NaN.
__device__ __forceinline__ float max_or_nan(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float r;
  asm("max.NaN.f32 %0,%1,%2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
#else
  return a != a || b != b ? __int_as_float(0x7fffffff) : fmaxf(a, b);
#endif
}

// The same of two pairs of bf16.
__device__ __forceinline__ std::uint32_t max_or_nan_bf16x2(std::uint32_t a, std::uint32_t b) {
#if __CUDA_ARCH__ >= 800
  std::uint32_t r;
  asm("max.NaN.bf16x2 %0,%1,%2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const auto half = [](float x) { return __float_as_uint(x) >> 16; };
  const float low = max_or_nan(__uint_as_float(a << 16), __uint_as_float(b << 16));
  const float high = max_or_nan(__uint_as_float(a & 0xffff0000u), __uint_as_float(b & 0xffff0000u));
  return half(high) << 16 | half(low);
#endif
}

__device__ __forceinline__ std::uint32_t min_or_nan_bf16x2(std::uint32_t a, std::uint32_t b) {
#if __CUDA_ARCH__ >= 800
  std::uint32_t r;
  asm("min.NaN.bf16x2 %0,%1,%2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  return max_or_nan_bf16x2(a ^ 0x80008000u, b ^ 0x80008000u) ^ 0x80008000u;
#endif
}

// Two numbers rounded to nearest even, the first in the low half. A NaN becomes 0x7fff.
__device__ __forceinline__ std::uint32_t bf16x2_of(float low, float high) {
#if __CUDA_ARCH__ >= 800
  std::uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0,%1,%2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  return BFloat16(low).bits | static_cast<std::uint32_t>(BFloat16(high).bits) << 16;
#endif
}
__device__ __forceinline__ std::uint32_t f16x2_of(float low, float high) {
#if __CUDA_ARCH__ >= 800
  std::uint32_t r;
  asm("cvt.rn.f16x2.f32 %0,%1,%2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  return __half_as_ushort(__float2half_rn(low)) |
         static_cast<std::uint32_t>(__half_as_ushort(__float2half_rn(high))) << 16;
#endif
}

// The largest of a warp's integers.
__device__ __forceinline__ int warp_max(int x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(~0u, x);
#else
  for (int offset = 16; offset > 0; offset /= 2) x = max(x, __shfl_xor_sync(~0u, x, offset));
  return x;
#endif
}

// The sum of a warp's integers, mod 2^64.
__device__ __forceinline__ std::uint64_t warp_sum(std::uint64_t x) {
#if __CUDA_ARCH__ >= 800  // three limbs, each with room for 32 of them
  const unsigned low = __reduce_add_sync(~0u, static_cast<unsigned>(x) & 0x1fffffu);
  const unsigned middle = __reduce_add_sync(~0u, static_cast<unsigned>(x >> 21) & 0x1fffffu);
  const unsigned high = __reduce_add_sync(~0u, static_cast<unsigned>(x >> 42));
  return low + (static_cast<std::uint64_t>(middle) << 21) +
         (static_cast<std::uint64_t>(high) << 42);
#else
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
  return x;
#endif
}

__device__ __forceinline__ int warp_min(int x) { return -1 - warp_max(-1 - x); }

// A number drawn from a counter in shared memory. Not atomicAdd, which the compiler wraps in code
// that lets a warp's threads share one, and waits for it at once.
__device__ __forceinline__ unsigned take_ticket(unsigned* counter) {
  unsigned ticket;
  asm volatile("atom.shared.add.u32 %0, [%1], 1;"
               : "=r"(ticket)
               : "r"(shared_address(counter))
               : "memory");
  return ticket;
}

// A word in shared memory by which warps of a CTA hand over what else is there.
__device__ __forceinline__ unsigned load_acquire(const unsigned* p) {
  unsigned x;
  asm volatile("ld.acquire.cta.shared.u32 %0, [%1];" : "=r"(x) : "r"(shared_address(p)) : "memory");
  return x;
}
__device__ __forceinline__ void store_release(unsigned* p, unsigned x) {
  asm volatile("st.release.cta.shared.u32 [%0], %1;" ::"r"(shared_address(p)), "r"(x) : "memory");
}

// Starts early where the kernel before allows it (programmatic dependent launch): all that touches
// memory waits for that kernel's end; the next may start its own preamble. Every thread of every
// kernel that is launched so waits, whether it reads what the one before wrote or not: the next but
// one relies on it.
__device__ __forceinline__ void wait_for_kernel_before() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Asks for bytes, a multiple of 16 at such an address, to be brought into L2.
__device__ __forceinline__ void prefetch_into_l2(const void* p, unsigned bytes, L2Policy policy) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global.L2::cache_hint [%0], %1, %2;" ::"l"(p), "r"(bytes),
               "l"(policy.bits)
               : "memory");
#endif
}

// Clusters, and bulk copies into shared memory that end at a barrier there: from sm_90 on. Before,
// clusters have one CTA and copies are plain loads.
#if __CUDA_ARCH__ >= 900
inline constexpr bool kHasBulkCopies = true;
#else
inline constexpr bool kHasBulkCopies = false;
#endif

// Once all CTAs of the cluster have begun and come here.
__device__ __forceinline__ void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// A barrier of some of a CTA's warps, by number. Those that wait come by at the same place of the
// code (synccheck insists on it); those that only bring something arrive and go on.
__device__ __forceinline__ void sync_threads(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ __forceinline__ void arrive_threads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

}  // namespace logsum::cuda
