// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax with respect to the logits. Both need a sum over the row
// first, in f64: a product of two f32 is exact there, so no FMA is needed to give the same bits
// everywhere. Lanes as in measure: column mod 256, folded per tile.
#if defined(LOGSUM_CPU_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_BACKWARD_INL_H_
#undef LOGSUM_CPU_BACKWARD_INL_H_
#else
#define LOGSUM_CPU_BACKWARD_INL_H_
#endif

#include "core/row_sum.hpp"
#include "cpu/emit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

using F64 = hn::ScalableTag<double>;
using HalfF32 = hn::Rebind<float, F64>;
using V64 = hn::Vec<F64>;

// Σ over the tile of what terms.add(column, sum) adds, four vectors of f64 lanes at a time.
template <class Terms>
HWY_INLINE double sum_in_lanes(const Terms& terms, int columns) {
  const F64 d;
  const int step = static_cast<int>(hn::Lanes(d));
  alignas(64) double lanes[kLanes];
  for (int lane = 0; lane < kLanes; lane += 4 * step) {
    V64 sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (int row = lane; row < columns; row += kLanes)
      for (int k = 0; k < 4; ++k) sum[k] = terms.add(row + k * step, sum[k]);
    for (int k = 0; k < 4; ++k) hn::Store(sum[k], d, lanes + lane + k * step);
  }
  for (int count = kLanes / 2; count >= 1; count /= 2)
    for (int i = 0; i < count; ++i) lanes[i] += lanes[i + count];
  return lanes[0];
}

// What isn't above 0 counts as 0: the −∞ behind a tile's last column too.
struct Products {
  const float *g, *p;
  HWY_INLINE V64 add(int column, V64 sum) const {
    const HalfF32 d;
    const auto pv = hn::LoadU(d, p + column);
    const auto dead = hn::Le(pv, hn::Zero(d));
    const auto live_g = hn::IfThenZeroElse(dead, hn::LoadU(d, g + column));
    const auto live_p = hn::IfThenZeroElse(dead, pv);
    const F64 d64;
    return hn::MulAdd(hn::PromoteTo(d64, live_g), hn::PromoteTo(d64, live_p), sum);
  }
};

struct Live {
  const float *g, *logp;
  HWY_INLINE V64 add(int column, V64 sum) const {
    const HalfF32 d;
    const auto lv = hn::LoadU(d, logp + column);
    const auto dead = hn::Eq(lv, hn::Set(d, kNegInf));
    const auto zero_or_nan = hn::Mul(lv, hn::Zero(d));
    const auto value = hn::Add(hn::LoadU(d, g + column), zero_or_nan);
    return hn::Add(sum, hn::PromoteTo(F64(), hn::IfThenZeroElse(dead, value)));
  }
};

// Σ g·p; a p of 0 counts as 0 whatever its g.
inline double sum_products(const Tile& g, const Tile& p) {
  return sum_in_lanes(Products{g.z, p.z}, p.columns);
}

// Σ g over the columns whose log-prob isn't −∞; NaN if one is NaN.
inline double sum_live(const Tile& g, const Tile& logp) {
  return sum_in_lanes(Live{g.z, logp.z}, logp.columns);
}

// p·(g − sum)/T
struct SoftmaxGradient {
  const float *g, *p;
  V high, low, inverse_t;

  HWY_INLINE SoftmaxGradient(const Tile& g_tile, const Tile& p_tile, const RowSum& sum)
      : g(g_tile.z),
        p(p_tile.z),
        high(hn::Set(F32(), sum.high)),
        low(hn::Set(F32(), sum.low)),
        inverse_t(hn::Set(F32(), sum.inverse_t)) {}

  HWY_INLINE void operator()(int column, V* v) const {
    const F32 d;
    const int step = static_cast<int>(hn::Lanes(d));
    for (int k = 0; k < kVectorsAtOnce; ++k) {
      const V pv = hn::LoadU(d, p + column + k * step);
      const V above = hn::Sub(hn::Sub(hn::LoadU(d, g + column + k * step), high), low);
      v[k] = hn::IfThenZeroElse(hn::Le(pv, hn::Zero(d)), hn::Mul(hn::Mul(above, inverse_t), pv));
    }
  }
};

// (g − p·sum)/T with p = e^logp; log2(e) happens to be so near an f32 that its rounding costs e^-87
// only 1.2e-6. Where p > ½ as ((g − sum) + (1 − p)·sum)/T with 1 − p from the same polynomial
// without its constant: p itself has lost 1 − p as it nears 1.
struct LogSoftmaxGradient {
  const float *g, *logp;
  ChunkMath math;
  V unbias, high, low, inverse_t;

  static constexpr float kFloorLog = -111.0f;  // e^-111 < 2^-160: rounds to 0
  static constexpr float kCeilingLog = 16.0f;  // above any log-prob; keeps the exponent in range

  HWY_INLINE LogSoftmaxGradient(const Tile& g_tile, const Tile& logp_tile, const RowSum& sum)
      : g(g_tile.z),
        logp(logp_tile.z),
        math(Temperature(), 0.0f, kFloorLog),
        unbias(hn::Set(F32(), 0x1p-101f)),
        high(hn::Set(F32(), sum.high)),
        low(hn::Set(F32(), sum.low)),
        inverse_t(hn::Set(F32(), sum.inverse_t)) {}

  // Of a row without NaN: its sum would have been NaN.
  HWY_INLINE void operator()(int column, V* v) const {
    const F32 d;
    const int step = static_cast<int>(hn::Lanes(d));
    constexpr int n = kVectorsAtOnce;
    const V ceiling = hn::Set(d, kCeilingLog);
    const V minus_ln2 = hn::Set(d, -0.6931472f);
    V lp[n], x[n], rounded[n], f[n], scale[n];
    for (int k = 0; k < n; ++k) lp[k] = hn::LoadU(d, logp + column + k * step);
    for (int k = 0; k < n; ++k) x[k] = hn::Min(math.clamp(lp[k]), ceiling);
    for (int k = 0; k < n; ++k) rounded[k] = fma(x[k], math.c, math.magic);
    for (int k = 0; k < n; ++k) f[k] = fma(x[k], math.c, hn::Sub(math.magic, rounded[k]));
    for (int k = 0; k < n; ++k) v[k] = fma(math.poly[0], f[k], math.poly[1]);
    for (int i = 2; i < 5; ++i)
      for (int k = 0; k < n; ++k) v[k] = fma(v[k], f[k], math.poly[i]);
    for (int k = 0; k < n; ++k) v[k] = hn::Mul(v[k], f[k]);  // 2^f − 1
    for (int k = 0; k < n; ++k)
      scale[k] = hn::Mul(hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(I32(), rounded[k]))), unbias);
    for (int k = 0; k < n; ++k) {
      const V gv = hn::LoadU(d, g + column + k * step);
      const auto is_large = hn::Gt(lp[k], minus_ln2);
      V gradient = negated_fma(fma(scale[k], v[k], scale[k]), high, gv);
      if (HWY_UNLIKELY(!hn::AllFalse(d, is_large))) {  // one column of a row at most
        const V minus_rest = fma(scale[k], v[k], hn::Sub(scale[k], hn::Set(d, 1.0f)));
        const V from_one = negated_fma(minus_rest, high, hn::Sub(hn::Sub(gv, high), low));
        gradient = hn::IfThenElse(is_large, from_one, gradient);
      }
      v[k] = hn::IfThenZeroElse(hn::Eq(lp[k], hn::Set(d, kNegInf)), hn::Mul(gradient, inverse_t));
    }
  }
};

inline void softmax_gradient(const Tile& g, const Tile& p, const RowSum& sum, void* out,
                             DType dtype) {
  write_as(dtype, SoftmaxGradient(g, p, sum), p.columns, out);
}

inline void log_softmax_gradient(const Tile& g, const Tile& logp, const RowSum& sum, void* out,
                                 DType dtype) {
  write_as(dtype, LogSoftmaxGradient(g, logp, sum), logp.columns, out);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
