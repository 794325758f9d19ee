// SPDX-License-Identifier: Apache-2.0
// emit: a tile's columns become what is written: probabilities (core/row_exp.hpp) or log-probs, in
// f32, f16 or bf16, rounded once.
#if defined(LOGSUM_CPU_EMIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_EMIT_INL_H_
#undef LOGSUM_CPU_EMIT_INL_H_
#else
#define LOGSUM_CPU_EMIT_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "core/row_exp.hpp"
#include "cpu/measure-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

// Not NaN. (Highway's Ne says false of two NaNs on some targets.)
HWY_INLINE hn::Mask<F32> is_number(V v) { return hn::Eq(v, v); }

// Values are computed four vectors at a time.
inline constexpr int kVectorsAtOnce = 4;

// Sinks: how four vectors of f32 go into memory from a column on. The bits are those of dtype.hpp's
// scalar conversions; of NaNs only kNan comes here, so that all targets write the same.
struct ToF32 {
  using Stored = float;
  static HWY_INLINE void put(const V* v, float* p) {
    const int step = static_cast<int>(hn::Lanes(F32()));
    for (int k = 0; k < kVectorsAtOnce; ++k) hn::StoreU(v[k], F32(), p + k * step);
  }
};

struct ToBF16 {
  using Stored = std::uint16_t;
  static HWY_INLINE void put(const V* v, std::uint16_t* p) {
#if HWY_TARGET == HWY_SCALAR
    const hn::Rebind<std::uint16_t, F32> d;
    for (int k = 0; k < kVectorsAtOnce; ++k)
      hn::Store(hn::DemoteTo(d, hn::BitCast(I32(), hn::ShiftRight<16>(rounded(v[k])))), d, p + k);
#else
    // The upper halves of two vectors at once.
    const hn::Repartition<std::uint16_t, F32> d;
    const int step = static_cast<int>(hn::Lanes(F32()));
    for (int k = 0; k < kVectorsAtOnce; k += 2)
      hn::StoreU(hn::ConcatOdd(d, hn::BitCast(d, rounded(v[k + 1])), hn::BitCast(d, rounded(v[k]))),
                 d, p + k * step);
#endif
  }

 private:
  // To nearest even, in the upper half.
  static HWY_INLINE hn::Vec<hn::RebindToUnsigned<F32>> rounded(V v) {
    const hn::RebindToUnsigned<F32> du;
    const auto u = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1u));
    return hn::Add(u, hn::Add(odd, hn::Set(du, 0x7fffu)));
  }
};

struct ToF16 {
  using Stored = std::uint16_t;
  static HWY_INLINE void put(const V* v, std::uint16_t* p) {
    const int step = static_cast<int>(hn::Lanes(F32()));
    const hn::Rebind<std::uint16_t, F32> d16;
    for (int k = 0; k < kVectorsAtOnce; ++k)
      hn::StoreU(hn::DemoteTo(d16, bits(v[k])), d16, p + k * step);
  }

 private:
  static HWY_INLINE hn::Vec<I32> bits(V v) {
    const I32 di;
    const auto magnitude = hn::BitCast(di, hn::Abs(v));
    const auto sign = hn::And(hn::ShiftRight<16>(hn::BitCast(di, v)), hn::Set(di, 0x8000));
    // Normal in f16: the exponent is rebased, the mantissa rounded to nearest even; beyond its
    // range infinity.
    const auto rebased = hn::Sub(magnitude, hn::Set(di, 112 << 23));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 1));
    const auto rounded = hn::ShiftRight<13>(hn::Add(rebased, hn::Add(odd, hn::Set(di, 0xfff))));
    const auto normal = hn::Min(rounded, hn::Set(di, 0x7c00));
    // Subnormal: adding ½ rounds to multiples of 2^-24, and leaves their number in the low bits.
    const V half = hn::Set(F32(), 0.5f);
    const auto subnormal =
        hn::Sub(hn::BitCast(di, hn::Add(hn::Abs(v), half)), hn::BitCast(di, half));
    const auto is_subnormal = hn::Lt(magnitude, hn::Set(di, 113 << 23));
    const auto number = hn::IfThenElse(is_subnormal, subnormal, normal);
    const auto quiet = hn::Set(di, 0x7e00);
    return hn::Or(hn::IfThenElse(hn::RebindMask(di, is_number(v)), number, quiet), sign);
  }
};

// Writes values(i, v) for i = 0, kVectorsAtOnce vectors on, …: it fills v with the kVectorsAtOnce
// vectors from column i on, and may read up to a whole chunk behind `columns`. A tile may be
// written to where it lies: a column is read before it is written and never after. Values are
// converted one step after they were computed: as one chain the two are so long that the machine's
// window of instructions holds too few (Zen 3: exponentials to bf16 1670 ns per tile, so 1480).
template <class Sink, class Values>
HWY_INLINE void write_columns(const Values& values, int columns, void* out) {
  auto* to = static_cast<typename Sink::Stored*>(out);
  const int width = kVectorsAtOnce * static_cast<int>(hn::Lanes(F32()));
  V v[kVectorsAtOnce], next[kVectorsAtOnce];
  values(0, v);
  int i = 0;
  for (; i + width < columns; i += width) {
    values(i + width, next);
    Sink::put(v, to + i);
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = next[k];
  }
  typename Sink::Stored rest[kVectorsAtOnce * HWY_LANES(float)];
  Sink::put(v, rest);
  std::memcpy(to + i, rest, static_cast<std::size_t>(columns - i) * sizeof(rest[0]));
}

// Values that are computed already.
struct Plain {
  const float* values;

  HWY_INLINE void operator()(int column, V* v) const {
    const int step = static_cast<int>(hn::Lanes(F32()));
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = hn::LoadU(F32(), values + column + k * step);
  }
};

template <class Values>
HWY_INLINE void write_as(DType dtype, const Values& values, int columns, void* out) {
  switch (dtype) {
    case DType::bf16: return write_columns<ToBF16>(values, columns, out);
    case DType::f16: return write_columns<ToF16>(values, columns, out);
    default: return write_columns<ToF32>(values, columns, out);
  }
}

// RowExp::near. kLimited: results above 1 count as 1.
template <bool kLimited>
struct Exponentials {
  const float* z;
  ChunkMath math;
  V c_low, factor;

  HWY_INLINE Exponentials(const float* from, const RowExp& exp)
      : z(from),
        math(exp.temperature, static_cast<float>(exp.n), exp.low),
        c_low(hn::Set(F32(), exp.c_low)),
        factor(hn::Set(F32(), exp.factor)) {}

  HWY_INLINE void operator()(int column, V* v) const {
    const F32 d;
    const int step = static_cast<int>(hn::Lanes(d));
    V rounded[kVectorsAtOnce], f[kVectorsAtOnce];
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = math.clamp(hn::LoadU(d, z + column + k * step));
    for (int k = 0; k < kVectorsAtOnce; ++k) rounded[k] = fma(v[k], math.c, math.magic);
    for (int k = 0; k < kVectorsAtOnce; ++k)
      f[k] = fma(v[k], math.c, hn::Sub(math.magic, rounded[k]));
    for (int k = 0; k < kVectorsAtOnce; ++k) f[k] = fma(v[k], c_low, f[k]);
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = fma(math.poly[0], f[k], math.poly[1]);
    for (int i = 2; i < 6; ++i)
      for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = fma(v[k], f[k], math.poly[i]);
    for (int k = 0; k < kVectorsAtOnce; ++k) {
      const V scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(I32(), rounded[k])));
      v[k] = hn::Mul(hn::Mul(v[k], scale), factor);
      if constexpr (kLimited)
        v[k] = hn::Min(v[k], hn::Set(d, 1.0f));
      else
        v[k] = hn::IfThenElse(is_number(v[k]), v[k], hn::Set(d, kNan));
    }
  }
};

// RowNorm::logprob, which is never −0.
struct LogProbs {
  const float* z;
  V minus_half_max, two_over_t, minus_log_ratio;

  HWY_INLINE LogProbs(const float* from, const RowNorm& norm)
      : z(from),
        minus_half_max(hn::Set(F32(), -norm.half_max)),
        two_over_t(hn::Set(F32(), norm.two_over_t)),
        minus_log_ratio(hn::Set(F32(), 0.0f - norm.log_ratio)) {}

  HWY_INLINE void operator()(int column, V* v) const {
    load(column, v);
    from_logits(v);
  }
  // Of logits below `low` as of `low`.
  HWY_INLINE void above(V low, int column, V* v) const {
    load(column, v);
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = clamp_below(v[k], low);
    from_logits(v);
  }

 private:
  HWY_INLINE void load(int column, V* v) const {
    const int step = static_cast<int>(hn::Lanes(F32()));
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = hn::LoadU(F32(), z + column + k * step);
  }
  HWY_INLINE void from_logits(V* v) const {
    const V half = hn::Set(F32(), 0.5f);
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = fma(v[k], half, minus_half_max);
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = fma(v[k], two_over_t, minus_log_ratio);
  }
};

// RowGradient::with_entropy.
struct GradientsWithEntropy {
  Exponentials<false> probabilities;
  LogProbs logprobs;
  V c, k, low;

  HWY_INLINE GradientsWithEntropy(const float* from, const RowGradient& gradient)
      : probabilities(from, gradient.exp),
        logprobs(from, gradient.norm),
        c(hn::Set(F32(), gradient.c)),
        k(hn::Set(F32(), gradient.k)),
        low(hn::Set(F32(), gradient.exp.low)) {}

  HWY_INLINE void operator()(int column, V* v) const {
    V p[kVectorsAtOnce];
    probabilities(column, p);
    logprobs.above(low, column, v);
    for (int i = 0; i < kVectorsAtOnce; ++i) v[i] = hn::Mul(p[i], fma(c, v[i], k));
  }
};

// far(z) of each column, a chunk at a time; scalar, as far_chunk.hpp and for its reasons.
template <class Far>
HWY_INLINE void emit_far(const Tile& tile, const Far& exp, void* out, DType dtype) {
  for (int begin = 0; begin < tile.columns; begin += kChunk) {
    const int columns = HWY_MIN(tile.columns - begin, kChunk);
    alignas(64) float values[kChunk] = {};
    for (int i = 0; i < columns; ++i) values[i] = exp.far(tile.z[begin + i]);
    write_as(dtype, Plain{values}, columns,
             static_cast<std::byte*>(out) + static_cast<std::size_t>(begin) * size_of(dtype));
  }
}

inline void emit_exp(const Tile& tile, const RowExp& exp, void* out, DType dtype) {
  const float max = *std::max_element(tile.chunk_max, tile.chunk_max + kTileChunks);
  if (!exp.holds_up_to(max)) return emit_far(tile, exp, out, dtype);
  if (exp.limit == 1.0f)
    write_as(dtype, Exponentials<true>(tile.z, exp), tile.columns, out);
  else
    write_as(dtype, Exponentials<false>(tile.z, exp), tile.columns, out);
}

inline void emit_with_entropy(const Tile& tile, const RowGradient& gradient, void* out,
                              DType dtype) {
  if (gradient.exp.is_far) return emit_far(tile, gradient, out, dtype);
  write_as(dtype, GradientsWithEntropy(tile.z, gradient), tile.columns, out);
}

inline void emit_logprobs(const Tile& tile, const RowNorm& norm, void* out, DType dtype) {
  write_as(dtype, LogProbs(tile.z, norm), tile.columns, out);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
