// SPDX-License-Identifier: Apache-2.0
// transform: stored logits (f32, f16, bf16) become f32, a chunk at a time, and the chunk's maximum
// is found on the way. Today the conversion is all that a transform does; masks, biases and
// penalties join here.
#if defined(LOGSUM_CPU_CHUNK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_CHUNK_INL_H_
#undef LOGSUM_CPU_CHUNK_INL_H_
#else
#define LOGSUM_CPU_CHUNK_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

// Sources: how a vector of f32 comes out of memory at a column.
struct FromF32 {
  using Stored = float;
  static constexpr Stored kLowest = kNegInf;
  static constexpr bool kInPlace = true;  // a whole chunk needs no copy
  static HWY_INLINE V at(const float* p) { return hn::LoadU(F32(), p); }
};

struct FromBF16 {
  using Stored = std::uint16_t;
  static constexpr Stored kLowest = 0xff80;
  static constexpr bool kInPlace = false;
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
  static constexpr Stored kLowest = 0xfc00;
  static constexpr bool kInPlace = false;
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

struct alignas(64) ChunkBuffer {
  float z[kChunk];
};

// A chunk as f32. Behind `columns` the room of a whole chunk is −∞.
struct Chunk {
  const float* z;
  int columns;
  float max;  // NaNs left out; −∞ if there is no number
};

// Stands where no next chunk is to be loaded.
struct Nothing {
  HWY_INLINE void step(int) {}
};

// Loads a whole chunk, four vectors a step, between the steps of something else.
template <class Source>
class NextChunk {
 public:
  using Stored = typename Source::Stored;

  HWY_INLINE NextChunk(const Stored* source, ChunkBuffer& buffer)
      : source_(source), out_(buffer.z) {
    for (V& best : best_) best = hn::Set(F32(), kNegInf);
  }

  // The columns from `column` on, as many as four vectors hold.
  HWY_INLINE void step(int column) {
    const F32 d;
    const int width = static_cast<int>(hn::Lanes(d));
    // Further ahead than the machine's own prefetchers see across a 4 KB page.
    for (int byte = 0; byte < kVectors * width * static_cast<int>(sizeof(Stored)); byte += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(source_ + column) + kFetchAhead + byte, 0,
                         3);
    for (int k = 0; k < kVectors; ++k) {
      const V z = Source::at(source_ + column + k * width);
      if constexpr (!Source::kInPlace) hn::Store(z, d, out_ + column + k * width);
      best_[k % 2] = max_ignoring_nan(best_[k % 2], z);
    }
  }

  HWY_INLINE Chunk chunk() const {
    const float max = largest_lane(max_ignoring_nan(best_[0], best_[1]));
    if constexpr (Source::kInPlace)
      return {source_, kChunk, max};
    else
      return {out_, kChunk, max};
  }

 private:
  static constexpr int kVectors = kChunkRows;
  static constexpr int kFetchAhead = 8192;

  const Stored* source_;
  float* out_;
  V best_[2];
};

// Loads the chunk that begins at `source`, of which `columns` are left in the row.
template <class Source>
HWY_NOINLINE Chunk load_chunk(const typename Source::Stored* source, std::int64_t columns,
                              ChunkBuffer& buffer) {
  using Stored = typename Source::Stored;
  const F32 d;
  const int step = kChunkRows * static_cast<int>(hn::Lanes(d));
  if (columns >= kChunk) {
    NextChunk<Source> next(source, buffer);
    for (int i = 0; i < kChunk; i += step) next.step(i);
    return next.chunk();
  }
  alignas(64) Stored padded[kChunk];
  std::memcpy(padded, source, static_cast<std::size_t>(columns) * sizeof(Stored));
  std::fill(padded + columns, padded + kChunk, Source::kLowest);
  V best = hn::Set(d, kNegInf);
  for (int i = 0; i < kChunk; i += static_cast<int>(hn::Lanes(d))) {
    const V z = Source::at(padded + i);
    hn::Store(z, d, buffer.z + i);
    best = max_ignoring_nan(best, z);
  }
  return {buffer.z, static_cast<int>(columns), largest_lane(best)};
}

HWY_INLINE bool is_all_negative_infinity(const Chunk& chunk) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  const V lowest = hn::Set(d, kNegInf);
  auto all = hn::Eq(lowest, lowest);
  for (int i = 0; i < kChunk; i += step)
    all = hn::And(all, hn::Eq(hn::LoadU(d, chunk.z + i), lowest));
  return hn::AllTrue(d, all);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
