// SPDX-License-Identifier: Apache-2.0
// transform: a tile of f32, f16 or bf16 logits becomes f32, and its chunks' maxima are found on the
// way.
#if defined(LOGSUM_CPU_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_LOAD_INL_H_
#undef LOGSUM_CPU_LOAD_INL_H_
#else
#define LOGSUM_CPU_LOAD_INL_H_
#endif

#include <cstring>

#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

// Sources: how a vector of f32 comes out of memory at a column.
struct FromF32 {
  using Stored = float;
  static HWY_INLINE V at(const float* p) { return hn::LoadU(F32(), p); }
};

struct FromBF16 {
  using Stored = std::uint16_t;
  static HWY_INLINE V at(const std::uint16_t* p) {
    const hn::RebindToUnsigned<F32> du;
    const hn::Rebind<std::uint16_t, F32> d16;
    return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, p))));
  }
};

// By hand, exact for every f16: the exponent is rebased by a multiplication, which also normalises
// subnormals; infinities and NaNs get their exponent back.
struct FromF16 {
  using Stored = std::uint16_t;
  static HWY_INLINE V at(const std::uint16_t* p) {
    const hn::RebindToUnsigned<F32> du;
    const hn::Rebind<std::uint16_t, F32> d16;
    const auto h = hn::PromoteTo(du, hn::LoadU(d16, p));
    const auto sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(du, 0x8000u)));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(h, hn::Set(du, 0x7fffu)));
    const auto finite = hn::Mul(hn::BitCast(F32(), magnitude), hn::Set(F32(), 0x1p112f));
    const auto special = hn::BitCast(F32(), hn::Or(magnitude, hn::Set(du, 0x7f800000u)));
    const I32 di;
    const auto is_special =
        hn::RebindMask(F32(), hn::Gt(hn::BitCast(di, magnitude), hn::Set(di, (0x7bff << 13))));
    return hn::Or(hn::IfThenElse(is_special, special, finite), hn::BitCast(F32(), sign));
  }
};

// Converts a chunk into `out`, or leaves it in place, and returns its maximum.
template <class Source, bool kStore>
HWY_INLINE float convert_chunk(const typename Source::Stored* source, float* out) {
  const F32 d;
  const std::size_t step = hn::Lanes(d);
  constexpr int kAtOnce = 4;
  V best[kAtOnce];
  for (V& b : best) b = hn::Set(d, kNegInf);
  for (std::size_t i = 0; i < kChunk; i += kAtOnce * step) {
    for (std::size_t k = 0; k < kAtOnce; ++k) {
      const V z = Source::at(source + i + k * step);
      if (kStore) hn::Store(z, d, out + i + k * step);
      best[k] = max_ignoring_nan(best[k], z);
    }
  }
  return largest_lane(
      max_ignoring_nan(max_ignoring_nan(best[0], best[1]), max_ignoring_nan(best[2], best[3])));
}

template <class Source>
HWY_INLINE Tile load_as(const void* source, int columns, TileScratch& scratch) {
  using Stored = typename Source::Stored;
  const auto* in = static_cast<const Stored*>(source);
  const bool in_place = std::is_same_v<Source, FromF32> && columns == kTile;
  Tile tile;
  tile.columns = columns;
  tile.ahead = reinterpret_cast<const char*>(in + kTile);
  tile.ahead_per_lane = kChunkRows * sizeof(Stored);
  tile.z = in_place ? static_cast<const float*>(source) : scratch.z;
  for (int k = 0; k < kTileChunks; ++k) {
    const int begin = k * kChunk;
    if (begin >= columns) {
      tile.chunk_max[k] = kNegInf;
      continue;
    }
    const int live = columns - begin;
    if (live >= kChunk) {
      tile.chunk_max[k] = in_place ? convert_chunk<Source, false>(in + begin, nullptr)
                                   : convert_chunk<Source, true>(in + begin, scratch.z + begin);
      continue;
    }
    alignas(64) Stored padded[kChunk];
    std::memcpy(padded, in + begin, live * sizeof(Stored));
    constexpr bool kIsF32 = std::is_same_v<Source, FromF32>;
    constexpr bool kIsBF16 = std::is_same_v<Source, FromBF16>;
    const auto low = kIsF32 ? Stored(kNegInf) : Stored(kIsBF16 ? 0xff80u : 0xfc00u);
    for (int i = live; i < kChunk; ++i) padded[i] = low;
    tile.chunk_max[k] = convert_chunk<Source, true>(padded, scratch.z + begin);
  }
  return tile;
}

inline Tile load_tile(const void* source, DType dtype, int columns, TileScratch& scratch) {
  switch (dtype) {
    case DType::bf16: return load_as<FromBF16>(source, columns, scratch);
    case DType::f16: return load_as<FromF16>(source, columns, scratch);
    default: return load_as<FromF32>(source, columns, scratch);
  }
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
