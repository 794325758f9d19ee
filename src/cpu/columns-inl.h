// SPDX-License-Identifier: Apache-2.0
// Columns that are looked at one by one: through a softcap, and with a gradient of their own
// (core/softcap.hpp, core/column_gradient.hpp, step by step).
#if defined(LOGSUM_CPU_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_COLUMNS_INL_H_
#undef LOGSUM_CPU_COLUMNS_INL_H_
#else
#define LOGSUM_CPU_COLUMNS_INL_H_
#endif

#include <algorithm>

#include "core/column_gradient.hpp"
#include "cpu/emit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

// Softcap::exponential.
struct CapExponential {
  V u, e;

  HWY_INLINE CapExponential(V z, const Softcap& softcap) {
    const F32 d;
    const I32 di;
    const V y = hn::Abs(hn::Mul(z, hn::Set(d, softcap.inverse)));
    const V wanted = hn::Mul(y, hn::Set(d, Softcap::kMinusTwoLog2e));
    const V least = hn::Set(d, Softcap::kLeast);
    const auto is_far = hn::Lt(wanted, least);
    const V a = hn::IfThenElse(is_far, least, wanted);
    const V k = hn::Round(a);
    const V f = hn::Sub(a, k);
    V q = hn::Set(d, Softcap::poly(0));
    for (int i = 1; i < Softcap::kPolySize; ++i) q = fma(q, f, hn::Set(d, Softcap::poly(i)));
    q = hn::Mul(q, f);
    // Of a NaN's k anything: q is NaN.
    const auto exponent = hn::Add(hn::ConvertTo(di, k), hn::Set(di, 127));
    const V power = hn::BitCast(d, hn::ShiftLeft<23>(exponent));
    u = hn::IfThenZeroElse(is_far, fma(power, q, power));
    e = fma(power, q, hn::Sub(power, hn::Set(d, 1.0f)));
  }
};

HWY_INLINE V capped(V z, const Softcap& softcap) {
  const F32 d;
  const V e = CapExponential(z, softcap).e;
  const V tanh = hn::Div(hn::Neg(e), hn::Add(hn::Set(d, 2.0f), e));
  return hn::CopySign(hn::Mul(hn::Set(d, softcap.cap), tanh), z);
}

HWY_INLINE V slope(V z, const Softcap& softcap) {
  const F32 d;
  const CapExponential x(z, softcap);
  const V sum = hn::Add(hn::Set(d, 2.0f), x.e);
  return hn::Div(hn::Mul(hn::Set(d, 4.0f), x.u), hn::Mul(sum, sum));
}

inline Tile cap_tile(const Tile& tile, const Softcap& softcap, TileScratch& scratch) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  Tile result = tile;
  result.z = scratch.z;
  for (int k = 0; k * kChunk < tile.columns; ++k) {
    const int begin = k * kChunk, end = std::min(tile.columns, begin + kChunk);
    V max = hn::Set(d, kNegInf);
    for (int i = begin; i < begin + kChunk; i += step) {
      const V z = capped(hn::LoadU(d, tile.z + i), softcap);
      const V column = hn::Add(hn::Iota(d, 0), hn::Set(d, static_cast<float>(i)));
      const auto exists = hn::Lt(column, hn::Set(d, static_cast<float>(end)));
      const V value = hn::IfThenElse(exists, z, hn::Set(d, kNegInf));
      hn::StoreU(value, d, scratch.z + i);
      max = hn::IfThenElse(hn::Gt(value, max), value, max);
    }
    alignas(64) float lanes[HWY_LANES(float)];
    hn::StoreU(max, d, lanes);
    result.chunk_max[k] = *std::max_element(lanes, lanes + step);
  }
  return result;
}

// ColumnGradient.
struct ColumnGradients {
  const float* exponentials;
  const float* z;
  const float* weights;  // null: 1
  const ColumnGradient& gradient;

  HWY_INLINE void operator()(int column, V* v) const {
    const F32 d;
    const int step = static_cast<int>(hn::Lanes(d));
    const V per_weight = hn::Set(d, gradient.per_weight);
    for (int k = 0; k < kVectorsAtOnce; ++k) {
      const int i = column + k * step;
      const V share = weights ? hn::Mul(per_weight, hn::LoadU(d, weights + i)) : per_weight;
      v[k] = hn::Sub(hn::LoadU(d, exponentials + i), share);
      if (gradient.softcap) v[k] = hn::Mul(v[k], slope(hn::LoadU(d, z + i), gradient.softcap));
    }
  }
};

inline void emit_columns(const Tile& tile, const float* exponentials, const float* weights,
                         const ColumnGradient& gradient, void* out, DType dtype) {
  write_as(dtype, ColumnGradients{exponentials, tile.z, weights, gradient}, tile.columns, out);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
