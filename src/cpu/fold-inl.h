// SPDX-License-Identifier: Apache-2.0
// fold: a tile's 256 lanes become one sum, neighbours first, three times, then halves
// (docs/design/tile_tree.md).
#if defined(LOGSUM_CPU_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_FOLD_INL_H_
#undef LOGSUM_CPU_FOLD_INL_H_
#else
#define LOGSUM_CPU_FOLD_INL_H_
#endif

#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE && HWY_MAX_BYTES >= 32

// Two vectors' sums of neighbours in one vector, by two blends and one shuffle: 20 cycles a tile
// where deinterleaving loads took 80 (Zen 3). Wider vectors fold as eight lanes too.
using F32x8 = hn::CappedTag<float, 8>;
using V8 = hn::Vec<F32x8>;

// Even lanes: `even`'s sums of lanes 2i and 2i + 1; odd lanes: `odd`'s.
HWY_INLINE V8 add_pairs(V8 even, V8 odd) {
  return hn::Add(hn::OddEven(odd, even), hn::Shuffle2301(hn::OddEven(even, odd)));
}

HWY_INLINE V8 add_pairs_of_pairs(V8 even, V8 odd) {
  const hn::RepartitionToWide<F32x8> d64;
  const F32x8 d;
  const auto e = hn::BitCast(d64, even);
  const auto o = hn::BitCast(d64, odd);
  return hn::Add(hn::BitCast(d, hn::OddEven(o, e)),
                 hn::Shuffle1032(hn::BitCast(d, hn::OddEven(e, o))));
}

HWY_INLINE V8 add_halves(V8 even, V8 odd) {
  return hn::Add(hn::OddEvenBlocks(odd, even),
                 hn::SwapAdjacentBlocks(hn::OddEvenBlocks(even, odd)));
}

// Eight sums of eight neighbours each.
HWY_INLINE V8 fold_neighbours(const float* lanes) {
  const F32x8 d;
  V8 quads[2];
  for (int k = 0; k < 2; ++k) {
    const float* const at = lanes + 32 * k;
    quads[k] = add_pairs_of_pairs(add_pairs(hn::Load(d, at), hn::Load(d, at + 8)),
                                  add_pairs(hn::Load(d, at + 16), hn::Load(d, at + 24)));
  }
  return add_halves(quads[0], quads[1]);
}

HWY_INLINE float fold(const float* lanes) {
  const V8 v = hn::Add(hn::Add(fold_neighbours(lanes), fold_neighbours(lanes + 128)),
                       hn::Add(fold_neighbours(lanes + 64), fold_neighbours(lanes + 192)));
  const V8 v4 = hn::Add(v, hn::SwapAdjacentBlocks(v));
  const V8 v2 = hn::Add(v4, hn::Shuffle1032(v4));
  return hn::GetLane(hn::Add(v2, hn::Shuffle2301(v2)));
}

#else

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

#endif

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
