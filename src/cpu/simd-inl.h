// SPDX-License-Identifier: Apache-2.0
// What the kernels need of a vector beyond Highway: an FMA that rounds once on every target, and
// maxima whose treatment of NaN is ours (Highway leaves it to the machine).
#if defined(LOGSUM_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_SIMD_INL_H_
#undef LOGSUM_CPU_SIMD_INL_H_
#else
#define LOGSUM_CPU_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>

#include "cpu/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using V = hn::Vec<F32>;

static_assert(kLanes % HWY_LANES(float) == 0, "a row of lanes must be whole vectors");

// fl(a·b + c). Without an FMA instruction Highway rounds twice; std::fma doesn't, at a call per
// element.
HWY_INLINE V fma(V a, V b, V c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  const F32 d;
  constexpr std::size_t kMax = HWY_LANES(float);
  HWY_ALIGN float x[kMax], y[kMax], z[kMax];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

// fl(c − a·b)
HWY_INLINE V negated_fma(V a, V b, V c) {
#if HWY_NATIVE_FMA
  return hn::NegMulAdd(a, b, c);
#else
  return fma(hn::Neg(a), b, c);
#endif
}

// The larger of the two; `best` where z is NaN.
HWY_INLINE V max_ignoring_nan(V best, V z) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Max(z, best);  // maxps returns its second operand if either is NaN
#else
  return hn::IfThenElse(hn::Gt(z, best), z, best);
#endif
}

// The larger of the two; NaN where z is NaN.
HWY_INLINE V clamp_below(V z, V low) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Max(low, z);
#else
  return hn::IfThenElse(hn::Lt(z, low), low, z);
#endif
}

// The largest lane, for a vector without NaN.
HWY_INLINE float largest_lane(V v) { return hn::GetLane(hn::MaxOfLanes(F32(), v)); }

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
