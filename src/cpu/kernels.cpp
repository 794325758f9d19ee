// SPDX-License-Identifier: Apache-2.0
// Compiles the kernels once per SIMD target and picks among them.

// SSE2 to SSE4 have no FMA and gain little over `portable`; AVX3_DL and later add nothing used
// here.
#define HWY_DISABLED_TARGETS (~(HWY_AVX3 | HWY_AVX2 | HWY_NEON | HWY_EMU128 | HWY_SCALAR))

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/kernels.cpp"
#include <hwy/foreach_target.h>  // includes this file again for each target but the last
#include <hwy/highway.h>

#include "cpu/backward-inl.h"
#include "cpu/columns-inl.h"
#include "cpu/divergence-inl.h"
#include "cpu/draw-inl.h"
#include "cpu/emit-inl.h"
#include "cpu/load-inl.h"
#include "cpu/measure-inl.h"
#include "cpu/search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

constexpr SimdTarget target_id() {
  switch (HWY_TARGET) {
    case HWY_AVX3: return SimdTarget::avx512;
    case HWY_AVX2: return SimdTarget::avx2;
    case HWY_NEON: return SimdTarget::neon;
    default: return SimdTarget::portable;
  }
}

constexpr Kernels kKernels = {target_id(),
                              &measure_tiles,
                              &load_tile,
                              &find_value,
                              &count_greater,
                              &draw_weights,
                              &spread_weights,
                              kSpreadError,
                              &emit_exp,
                              &emit_logprobs,
                              &emit_with_entropy,
                              &cap_tile,
                              &emit_columns,
                              &sum_products,
                              &sum_live,
                              &softmax_gradient,
                              &log_softmax_gradient,
                              &sum_divergence,
                              &write_divergence_gradients};

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace logsum::cpu {
namespace {

struct Compiled {
  std::int64_t hwy_target;
  const Kernels* kernels;
};

// Fastest first.
constexpr Compiled kCompiled[] = {
#if HWY_TARGETS & HWY_AVX3
    {HWY_AVX3, &N_AVX3::kKernels},
#endif
#if HWY_TARGETS & HWY_AVX2
    {HWY_AVX2, &N_AVX2::kKernels},
#endif
#if HWY_TARGETS & HWY_NEON
    {HWY_NEON, &N_NEON::kKernels},
#endif
#if HWY_TARGETS & HWY_EMU128
    {HWY_EMU128, &N_EMU128::kKernels},
#endif
#if HWY_TARGETS & HWY_SCALAR
    {HWY_SCALAR, &N_SCALAR::kKernels},
#endif
};

const Compiled* compiled(SimdTarget target) {
  for (const Compiled& entry : kCompiled)
    if (entry.kernels->id == target) return &entry;
  return nullptr;
}

bool runs_here(const Compiled& entry) {
  // Asked once: CPUID traps in virtual machines, 70 us a time.
  static const std::int64_t supported = hwy::SupportedTargets();
  return entry.kernels->id == SimdTarget::portable || (supported & entry.hwy_target) != 0;
}

}  // namespace

const Kernels* kernels_for(SimdTarget target) noexcept {
  if (target == SimdTarget::automatic) {
    for (const Compiled& entry : kCompiled)
      if (runs_here(entry)) return entry.kernels;
    return nullptr;
  }
  const Compiled* entry = compiled(target);
  return entry && runs_here(*entry) ? entry->kernels : nullptr;
}

}  // namespace logsum::cpu

namespace logsum {

std::span<const SimdTargetInfo> simd_targets() noexcept {
  static const auto info = [](SimdTarget id, const char* name) {
    return SimdTargetInfo{id, name, cpu::compiled(id) != nullptr, cpu::kernels_for(id) != nullptr};
  };
  static const SimdTargetInfo targets[] = {
      info(SimdTarget::avx512, "avx512"), info(SimdTarget::avx2, "avx2"),
      info(SimdTarget::neon, "neon"), info(SimdTarget::portable, "portable")};
  return targets;
}

}  // namespace logsum

#endif  // HWY_ONCE
