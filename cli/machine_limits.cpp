// SPDX-License-Identifier: Apache-2.0
// Compiled once per SIMD target, as the library's own kernels are (src/cpu/kernels.cpp).
#include "machine_limits.hpp"

#define HWY_DISABLED_TARGETS (~(HWY_AVX3 | HWY_AVX2 | HWY_NEON | HWY_EMU128 | HWY_SCALAR))

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cli/machine_limits.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace logsum::cli::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Ten independent chains: enough to hide an FMA's latency of four or five cycles on two units.
double run_fmas(std::int64_t rounds, float& sink) {
  const hn::ScalableTag<float> d;
  const auto step = hn::Set(d, 0.999f);
  // Different starting values: equal chains would be merged by the compiler.
  auto a = hn::Set(d, 1.0f), b = hn::Set(d, 1.1f), c = hn::Set(d, 1.2f), e = hn::Set(d, 1.3f);
  auto f = hn::Set(d, 1.4f), g = hn::Set(d, 1.5f), h = hn::Set(d, 1.6f), i = hn::Set(d, 1.7f);
  auto j = hn::Set(d, 1.8f), k = hn::Set(d, 1.9f);
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t r = 0; r < rounds; ++r) {
    a = hn::MulAdd(a, step, step);
    b = hn::MulAdd(b, step, step);
    c = hn::MulAdd(c, step, step);
    e = hn::MulAdd(e, step, step);
    f = hn::MulAdd(f, step, step);
    g = hn::MulAdd(g, step, step);
    h = hn::MulAdd(h, step, step);
    i = hn::MulAdd(i, step, step);
    j = hn::MulAdd(j, step, step);
    k = hn::MulAdd(k, step, step);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const auto sum =
      hn::Add(hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i))),
              hn::Add(j, k));
  sink = hn::GetLane(sum);
  return static_cast<double>(rounds) * 10 * static_cast<double>(hn::Lanes(d)) / elapsed.count();
}

unsigned read_all(const void* data, std::size_t bytes) {
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t step = hn::Lanes(d);
  const auto* p = static_cast<const std::uint32_t*>(data);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (std::size_t i = 0; i + 4 * step <= bytes / 4; i += 4 * step) {
    a = hn::Xor(a, hn::LoadU(d, p + i));
    b = hn::Xor(b, hn::LoadU(d, p + i + step));
    c = hn::Xor(c, hn::LoadU(d, p + i + 2 * step));
    e = hn::Xor(e, hn::LoadU(d, p + i + 3 * step));
  }
  return hn::GetLane(hn::Xor(hn::Xor(a, b), hn::Xor(c, e)));
}

}  // namespace logsum::cli::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace logsum::cli {
namespace {

struct Target {
  SimdTarget id;
  double (*run_fmas)(std::int64_t, float&);
  unsigned (*read_all)(const void*, std::size_t);
};

constexpr Target kTargets[] = {
#if HWY_TARGETS & HWY_AVX3
    {SimdTarget::avx512, &N_AVX3::run_fmas, &N_AVX3::read_all},
#endif
#if HWY_TARGETS & HWY_AVX2
    {SimdTarget::avx2, &N_AVX2::run_fmas, &N_AVX2::read_all},
#endif
#if HWY_TARGETS & HWY_NEON
    {SimdTarget::neon, &N_NEON::run_fmas, &N_NEON::read_all},
#endif
#if HWY_TARGETS & HWY_EMU128
    {SimdTarget::portable, &N_EMU128::run_fmas, &N_EMU128::read_all},
#endif
#if HWY_TARGETS & HWY_SCALAR
    {SimdTarget::portable, &N_SCALAR::run_fmas, &N_SCALAR::read_all},
#endif
};

// The target itself, or for `automatic` the fastest; null if it can't run here.
const Target* find(SimdTarget wanted) {
  for (const SimdTargetInfo& info : simd_targets()) {
    if (!info.available || (wanted != SimdTarget::automatic && wanted != info.id)) continue;
    for (const Target& target : kTargets)
      if (target.id == info.id) return &target;
  }
  return nullptr;
}

}  // namespace

double fma_rate(SimdTarget wanted) {
  const Target* target = find(wanted);
  if (target == nullptr) return 0;
  float sink = 0;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat)
    best = std::max(best, target->run_fmas(5'000'000, sink));
  return sink == 12345.0f ? 0 : best;  // never; the comparison keeps the loop
}

unsigned read_memory(SimdTarget wanted, const void* data, std::size_t bytes) {
  const Target* target = find(wanted);
  return target ? target->read_all(data, bytes) : 0;
}

}  // namespace logsum::cli

#endif  // HWY_ONCE
