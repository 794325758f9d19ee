// SPDX-License-Identifier: Apache-2.0
// measure: Σ 2^(t−n) and Σ 2^(t−n)·(n − t) of a run of tiles, to the bits of
// docs/design/tile_tree.md.
//
// Per logit: clamp, FMA (round), subtract, FMA (fraction), five FMAs (polynomial), shift, FMA
// (add): 11 instructions, and 3 more for the moment. A chunk's maximum must be known before its
// weights, so while one chunk is summed (bound by the FMA units) the next is converted and its
// maximum found (bound by loads): done before the sums instead, this cost 190 of 1030 ns per tile
// on Zen 3. A one-pass form that guesses the reference and redoes a chunk whose guess failed
// executes as many instructions and redoes every chunk at low temperatures.
#if defined(LOGSUM_CPU_MEASURE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_MEASURE_INL_H_
#undef LOGSUM_CPU_MEASURE_INL_H_
#else
#define LOGSUM_CPU_MEASURE_INL_H_
#endif

#include <algorithm>

#include "cpu/chunk-inl.h"
#include "cpu/far_chunk.hpp"
#include "cpu/fold-inl.h"
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
    for (int i = 0; i < 6; ++i) poly[i] = hn::Set(F32(), logsum::poly(i));
  }

  HWY_INLINE V clamp(V z) const { return clamp_below(z, low); }

  // The weights of kCount clamped logits: p and the power of two it is multiplied by, apart, so
  // that an FMA can multiply and add at once. Step by step for all of them, so that their
  // dependency chains (40 cycles each) overlap; more than two at once run out of registers on AVX2.
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

// A tile's lanes while its chunks are added.
struct Lanes {
  alignas(64) float sums[kLanes];
  alignas(64) float moments[kLanes];
};

// Adds a chunk to the lanes. kPartial: only the first `columns` count; the rest is readable. `next`
// does its own work step by step in between.
template <bool kMoment, bool kPartial, bool kRaises, bool kSpread, class Next>
HWY_NOINLINE void add_chunk(const float* HWY_RESTRICT z, int columns,
                            const Temperature& temperature, const ChunkReference& reference,
                            const Join& join, Lanes& lanes, float* row_sums, Next& next) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  constexpr int kAtOnce = 2;
  // Locals stay in registers; what the stores below might alias doesn't.
  const ChunkMath math(temperature, static_cast<float>(reference.n), reference.lo);
  const V factor = hn::Set(d, join.factor);
  const V distance = hn::Set(d, join.distance);
  Next companion = next;
  V rows[kChunkRows];
  for (V& row : rows) row = hn::Zero(d);
  for (int lane = 0; lane < kLanes; lane += step) {
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
        if constexpr (kSpread) rows[row + k] = fma(p[k], scale[k], rows[row + k]);
      }
    }
    companion.step(lane * kChunkRows);
    join_lanes<kMoment, kRaises>(factor, distance, s, e, lanes.sums + lane, lanes.moments + lane);
  }
  next = companion;
  if constexpr (kSpread)
    for (int row = 0; row < kChunkRows; ++row)
      row_sums[row] = hn::GetLane(hn::SumOfLanes(d, rows[row])) * 0x1p-101f;
}

// Each of a chunk's rows is summed over its vectors, then over a vector's lanes: as many additions
// as round. Where vectors may be of any length: at most.
inline constexpr double kSpreadError =
    (HWY_HAVE_SCALABLE
         ? kLanes + 1
         : kLanes / static_cast<int>(HWY_LANES(float)) + static_cast<int>(HWY_LANES(float))) *
    0x1p-24;
static_assert(kSpreadColumns == kLanes);

// A far chunk's lanes were computed by the scalar code.
template <bool kMoment, bool kRaises>
HWY_NOINLINE void add_far_chunk(const FarLanes& far, const Join& join, Lanes& lanes) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  for (int lane = 0; lane < kLanes; lane += step)
    join_lanes<kMoment, kRaises>(hn::Set(d, join.factor), hn::Set(d, join.distance),
                                 hn::Load(d, far.sum + lane), hn::Load(d, far.moment + lane),
                                 lanes.sums + lane, lanes.moments + lane);
}

// A chunk's part of a TileSpread, if one is wanted.
struct ChunkSpread {
  float* sums = nullptr;
  float* n = nullptr;
};

HWY_INLINE ChunkSpread spread_of_chunk(TileSpread* spread, std::int64_t chunk) {
  if (!spread) return {};
  TileSpread& tile = spread[chunk / kTileChunks];
  const std::int64_t k = chunk % kTileChunks;
  if (k == 0) tile = TileSpread();
  return {tile.sums + k * kChunkRows, tile.n + k};
}

// The tile in progress, at one temperature.
template <bool kMoment>
class TileMeasure {
 public:
  explicit TileMeasure(const Temperature& temperature) : temperature_(temperature) { begin(); }

  // Adds the tile's next chunk, whose maximum is known. False if nothing had to be summed, so that
  // `next` hasn't been stepped.
  template <class Next>
  bool add(const Chunk& chunk, Next& next, const ChunkSpread& spread = {}) {
    record_.max = HWY_MAX(record_.max, chunk.max);
    const bool has_no_number = chunk.max == kNegInf;
    if (has_no_number && is_all_negative_infinity(chunk)) return false;
    if (spread.sums) std::fill(spread.sums, spread.sums + kChunkRows, kNan);
    if (has_no_number || chunk.max == -kNegInf) is_poisoned_ = true;
    if (is_poisoned_) return false;
    const ChunkReference reference(chunk.max, temperature_);
    const bool raises = !is_live_ || reference.n > record_.n;
    const double d = is_live_ ? std::fabs(reference.n - record_.n) : 0.0;
    const Join join{drop_factor(-d), d > kDrop ? 0.0f : static_cast<float>(d)};
    if (raises) record_.n = reference.n;
    is_live_ = true;
    return raises ? add_as<true>(chunk, reference, join, next, spread)
                  : add_as<false>(chunk, reference, join, next, spread);
  }

  // The tile's record; the next chunk begins another tile.
  TileRecord finish() {
    if (is_live_) {
      record_.sum = fold(lanes_.sums) * 0x1p-101f;
      if constexpr (kMoment) record_.moment = fold(lanes_.moments) * 0x1p-101f;
    }
    if (is_poisoned_) record_.sum = kNan;
    const TileRecord result = record_;
    begin();
    return result;
  }

 private:
  void begin() {
    record_ = TileRecord();
    is_live_ = is_poisoned_ = false;
    std::fill(lanes_.sums, lanes_.sums + kLanes, 0.0f);
    if constexpr (kMoment) std::fill(lanes_.moments, lanes_.moments + kLanes, 0.0f);
  }

  template <bool kRaises, class Next>
  bool add_as(const Chunk& chunk, const ChunkReference& reference, const Join& join, Next& next,
              const ChunkSpread& spread) {
    if (reference.is_far) {
      add_far_chunk<kMoment, kRaises>(far_lanes(chunk.z, chunk.columns, reference.n, temperature_),
                                      join, lanes_);
      return false;
    }
    if (chunk.columns == kChunk) {
      if constexpr (!kMoment) {
        if (spread.sums) {
          *spread.n = static_cast<float>(reference.n);
          add_chunk<false, false, kRaises, true>(chunk.z, kChunk, temperature_, reference, join,
                                                 lanes_, spread.sums, next);
          return true;
        }
      }
      add_chunk<kMoment, false, kRaises, false>(chunk.z, kChunk, temperature_, reference, join,
                                                lanes_, nullptr, next);
      return true;
    }
    Nothing nothing;
    add_chunk<kMoment, true, kRaises, false>(chunk.z, chunk.columns, temperature_, reference, join,
                                             lanes_, nullptr, nothing);
    return false;
  }

  const Temperature& temperature_;
  Lanes lanes_;
  TileRecord record_;
  bool is_live_, is_poisoned_;
};

template <class Source, bool kMoment>
HWY_INLINE void measure_as(const void* source, std::int64_t columns, const Temperature& temperature,
                           const Temperature* second, TileSpread* spread, TileRecord* records,
                           TileRecord* second_records) {
  const auto* in = static_cast<const typename Source::Stored*>(source);
  ChunkBuffer buffers[2];
  TileMeasure<kMoment> tile(temperature);
  TileMeasure<false> second_tile(second ? *second : temperature);
  const std::int64_t chunks = (columns + kChunk - 1) / kChunk;
  Chunk chunk = load_chunk<Source>(in, columns, buffers[0]);
  for (std::int64_t i = 0; i < chunks; ++i) {
    const std::int64_t left = columns - (i + 1) * kChunk;
    const auto* next_in = in + (i + 1) * kChunk;
    ChunkBuffer& buffer = buffers[(i + 1) % 2];
    Nothing nothing;
    if (second) second_tile.add(chunk, nothing);
    const ChunkSpread part = spread_of_chunk(spread, i);
    if (left >= kChunk) {
      NextChunk<Source> next(next_in, buffer);
      chunk =
          tile.add(chunk, next, part) ? next.chunk() : load_chunk<Source>(next_in, left, buffer);
    } else {
      tile.add(chunk, nothing, part);
      if (left > 0) chunk = load_chunk<Source>(next_in, left, buffer);
    }
    if ((i + 1) % kTileChunks == 0 || i + 1 == chunks) {
      records[i / kTileChunks] = tile.finish();
      if (second) second_records[i / kTileChunks] = second_tile.finish();
    }
  }
}

template <class Source>
HWY_INLINE void measure_from(const void* source, std::int64_t columns, const MeasureSpec& spec,
                             TileRecord* records, TileRecord* second_records) {
  if (spec.moment)
    measure_as<Source, true>(source, columns, spec.temperature, spec.second, nullptr, records,
                             second_records);
  else
    measure_as<Source, false>(source, columns, spec.temperature, spec.second, spec.spread, records,
                              second_records);
}

inline void measure_tiles(const void* source, DType dtype, std::int64_t columns,
                          const MeasureSpec& spec, TileRecord* records,
                          TileRecord* second_records) {
  switch (dtype) {
    case DType::bf16: return measure_from<FromBF16>(source, columns, spec, records, second_records);
    case DType::f16: return measure_from<FromF16>(source, columns, spec, records, second_records);
    default: return measure_from<FromF32>(source, columns, spec, records, second_records);
  }
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
