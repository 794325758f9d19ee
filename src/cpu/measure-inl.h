// SPDX-License-Identifier: Apache-2.0
// measure: Σ 2^(t−n) and Σ 2^(t−n)·(n − t) of a tile, to the bits of docs/design/tile_tree.md.
//
// Per element: clamp, FMA (round), subtract, FMA (fraction), five FMAs (polynomial), shift, FMA
// (add): 11 instructions, and 3 more for the moment. A chunk's maxima are known before
// (load-inl.h), so no rescaling happens inside a chunk. A one-pass form that tracks maximum and
// minimum on the way, and redoes a chunk whose guess failed, executes as many instructions and
// redoes every chunk at low temperatures.
#if defined(LOGSUM_CPU_MEASURE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_MEASURE_INL_H_
#undef LOGSUM_CPU_MEASURE_INL_H_
#else
#define LOGSUM_CPU_MEASURE_INL_H_
#endif

#include <algorithm>

#include "cpu/far_chunk.hpp"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

// 1.5·2^23: adding it rounds to an integer, which stands in the sum's low mantissa bits.
inline constexpr float kRoundingMagic = 12582912.0f;

// What a chunk's weights need: z → (p, 2^(r − N + bias), x).
struct ChunkMath {
  V c, low, magic, reference, poly[6];

  HWY_INLINE ChunkMath(const Temperature& temperature, float n, float lo)
      : c(hn::Set(F32(), temperature.c)),
        low(hn::Set(F32(), lo)),
        magic(hn::Set(F32(), kRoundingMagic + (127 + kBias) - n)),
        reference(hn::Set(F32(), n)) {
    for (int i = 0; i < 6; ++i) poly[i] = hn::Set(F32(), kPoly[i]);
  }

  HWY_INLINE V clamp(V z) const { return clamp_below(z, low); }

  // The weights of kCount clamped logits: p and the power of two it is multiplied by, apart, so
  // that an FMA can multiply and add at once. Step by step for all of them: written one after the
  // other, their dependency chains (40 cycles each) overlap too little to fill the FMA units (Zen
  // 3: 20 % slower).
  template <int kCount>
  HWY_INLINE void weights(const V* z, V* p, V* scale) const {
    V rounded[kCount], f[kCount];
    for (int k = 0; k < kCount; ++k) rounded[k] = fma(z[k], c, magic);
    for (int k = 0; k < kCount; ++k) f[k] = fma(z[k], c, hn::Sub(magic, rounded[k]));
    for (int k = 0; k < kCount; ++k) p[k] = fma(poly[0], f[k], poly[1]);
    for (int i = 2; i < 6; ++i)
      for (int k = 0; k < kCount; ++k) p[k] = fma(p[k], f[k], poly[i]);
    const I32 di;
    for (int k = 0; k < kCount; ++k)
      scale[k] = hn::BitCast(F32(), hn::ShiftLeft<23>(hn::BitCast(di, rounded[k])));
  }

  // x = N − t
  HWY_INLINE V below_reference(V z) const { return negated_fma(z, c, reference); }
};

// Joining a chunk's lanes into the tile's: the side with the lower reference is multiplied by 2^-d
// first; where the chunk raises the tile's reference, that is the tile's.
struct Join {
  float factor;    // 2^-d, or 0 where the lower side is dropped
  float distance;  // d; 0 where dropped
};

template <bool kMoment, bool kRaises>
HWY_INLINE void join_lanes(V factor, V distance, V s, V e, float* sums, float* moments) {
  const F32 d;
  const V a = hn::Load(d, sums);
  hn::Store(kRaises ? fma(a, factor, s) : fma(s, factor, a), d, sums);
  if constexpr (kMoment) {
    const V b = hn::Load(d, moments);
    hn::Store(kRaises ? fma(fma(distance, a, b), factor, e) : fma(fma(distance, s, e), factor, b),
              d, moments);
  }
}

// Adds a chunk to the tile's lanes. kPartial: only the first `columns` count; the rest is readable.
template <bool kMoment, bool kPartial, bool kRaises>
HWY_NOINLINE void add_chunk(const float* HWY_RESTRICT z, int columns, const char* ahead,
                            int ahead_per_lane, const ChunkReference& reference,
                            const Temperature& temperature, const Join& join,
                            float* HWY_RESTRICT sums, float* HWY_RESTRICT moments) {
  // Made here, not passed: a local stays in registers, what the stores below might alias doesn't.
  const ChunkMath math(temperature, static_cast<float>(reference.n), reference.lo);
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  constexpr int kAtOnce = 2;
  const V factor = hn::Set(d, join.factor);
  const V distance = hn::Set(d, join.distance);
  for (int lane = 0; lane < kLanes; lane += step) {
    for (int byte = 0; byte < step * ahead_per_lane; byte += 64)
      __builtin_prefetch(ahead + lane * ahead_per_lane + byte, 0, 2);
    V s = hn::Zero(d);
    V e = hn::Zero(d);
    for (int row = 0; row < kChunkRows; row += kAtOnce) {
      V clamped[kAtOnce], p[kAtOnce], scale[kAtOnce];
      for (int k = 0; k < kAtOnce; ++k)
        clamped[k] = math.clamp(hn::LoadU(d, z + (row + k) * kLanes + lane));
      math.weights<kAtOnce>(clamped, p, scale);
      for (int k = 0; k < kAtOnce; ++k) {
        if constexpr (kPartial) {
          const int left = HWY_MAX(0, columns - ((row + k) * kLanes + lane));
          scale[k] = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(left)), scale[k]);
        }
        if constexpr (kMoment) {
          const V w = hn::Mul(p[k], scale[k]);
          s = hn::Add(s, w);
          e = fma(w, math.below_reference(clamped[k]), e);
        } else {
          s = fma(p[k], scale[k], s);
        }
      }
    }
    join_lanes<kMoment, kRaises>(factor, distance, s, e, sums + lane, moments + lane);
  }
}

// A far chunk's lanes were computed by the scalar code.
template <bool kMoment, bool kRaises>
HWY_INLINE void add_far_chunk(const FarLanes& far, const Join& join, float* sums, float* moments) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  for (int lane = 0; lane < kLanes; lane += step)
    join_lanes<kMoment, kRaises>(hn::Set(d, join.factor), hn::Set(d, join.distance),
                                 hn::Load(d, far.sum + lane), hn::Load(d, far.moment + lane),
                                 sums + lane, moments + lane);
}

// out[i] = in[2i] + in[2i + 1]
HWY_INLINE void add_neighbours(const float* HWY_RESTRICT in, int count, float* HWY_RESTRICT out) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  for (int i = 0; i < count; i += step) {
    V even, odd;
    hn::LoadInterleaved2(d, in + 2 * i, even, odd);
    hn::Store(hn::Add(even, odd), d, out + i);
  }
}

// Neighbours first, three times; then halves.
HWY_INLINE float fold(float* lanes) {
  alignas(64) float half[kLanes / 2];
  add_neighbours(lanes, kLanes / 2, half);
  add_neighbours(half, kLanes / 4, lanes);
  add_neighbours(lanes, kLanes / 8, half);
  for (int count = kLanes / 16; count >= 1; count /= 2)
    for (int i = 0; i < count; ++i) half[i] += half[i + count];
  return half[0];
}

// Of a whole chunk; what lies behind a row's last column is −∞.
HWY_INLINE bool all_negative_infinity(const float* z) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  const V lowest = hn::Set(d, kNegInf);
  auto all = hn::Eq(lowest, lowest);
  for (int i = 0; i < kChunk; i += step) all = hn::And(all, hn::Eq(hn::LoadU(d, z + i), lowest));
  return hn::AllTrue(d, all);
}

template <bool kMoment, bool kRaises>
HWY_INLINE void add(const Tile& tile, int chunk, const ChunkReference& reference,
                    const Temperature& temperature, const Join& join, float* sums, float* moments) {
  const float* z = tile.z + chunk * kChunk;
  const int columns = HWY_MIN(tile.columns - chunk * kChunk, kChunk);
  if (reference.is_far) {
    add_far_chunk<kMoment, kRaises>(far_lanes(z, columns, reference.n, temperature), join, sums,
                                    moments);
    return;
  }
  const char* ahead = tile.ahead + chunk * kLanes * tile.ahead_per_lane;
  const auto near =
      columns == kChunk ? &add_chunk<kMoment, false, kRaises> : &add_chunk<kMoment, true, kRaises>;
  near(z, columns, ahead, tile.ahead_per_lane, reference, temperature, join, sums, moments);
}

template <bool kMoment>
HWY_INLINE TileRecord measure_as(const Tile& tile, const Temperature& temperature) {
  alignas(64) float sums[kLanes] = {};
  alignas(64) float moments[kLanes];
  if (kMoment) std::fill(moments, moments + kLanes, 0.0f);
  TileRecord record;
  bool live = false;
  for (int k = 0; k < kTileChunks && k * kChunk < tile.columns; ++k) {
    const float max = tile.chunk_max[k];
    record.max = HWY_MAX(record.max, max);
    const bool empty = max == kNegInf;
    if (empty && all_negative_infinity(tile.z + k * kChunk)) continue;
    if (empty || max == -kNegInf) {
      record.sum = kNan;
      return record;
    }
    const ChunkReference reference(max, temperature);
    const bool raises = !live || reference.n > record.n;
    const double d = live ? std::fabs(reference.n - record.n) : 0.0;
    const Join join{drop_factor(-d), d > kDrop ? 0.0f : static_cast<float>(d)};
    if (raises) record.n = reference.n;
    live = true;
    if (raises)
      add<kMoment, true>(tile, k, reference, temperature, join, sums, moments);
    else
      add<kMoment, false>(tile, k, reference, temperature, join, sums, moments);
  }
  if (!live) return record;
  record.sum = fold(sums) * 0x1p-101f;
  if constexpr (kMoment) record.moment = fold(moments) * 0x1p-101f;
  return record;
}

inline TileRecord measure_tile(const Tile& tile, const Temperature& temperature, bool moment) {
  return moment ? measure_as<true>(tile, temperature) : measure_as<false>(tile, temperature);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
