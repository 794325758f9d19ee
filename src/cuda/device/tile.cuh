// SPDX-License-Identifier: Apache-2.0
// measure, by one warp: a tile's record, to the bits of docs/design/tile_tree.md (with the
// hardware's exponential: along the same tree).
#pragma once

#include "cuda/device/chunk.cuh"
#include "cuda/device/exponentials.cuh"
#include "cuda/tile_temperature.hpp"

namespace logsum::cuda {

// 2^-d for whole d ≥ 0; 0 beyond kDrop.
__device__ __forceinline__ float drop(int d) {
  return d > kDrop ? 0.0f : __int_as_float(0x3f800000 - (d << 23));
}

// A thread's eight lanes: neighbours three times, of which the third is two threads' where a vector
// holds four.
template <DType kDType>
__device__ __forceinline__ float fold_neighbours(const float (&lanes)[kPositions]) {
  float low = __fadd_rn(__fadd_rn(lanes[0], lanes[1]), __fadd_rn(lanes[2], lanes[3]));
  float high = __fadd_rn(__fadd_rn(lanes[4], lanes[5]), __fadd_rn(lanes[6], lanes[7]));
  if constexpr (kDType == DType::f32) {
    low = __fadd_rn(low, __shfl_xor_sync(~0u, low, 1));
    high = __fadd_rn(high, __shfl_xor_sync(~0u, high, 1));
  }
  return __fadd_rn(low, high);
}

// Folds what fold_neighbours gave, halves first: two values at once, each in half of the warp.
// Every thread has both results.
template <DType kDType>
__device__ __forceinline__ void fold_halves(float& a, float& b) {
  constexpr int kLast = kDType == DType::f32 ? 2 : 1;
  const bool is_high = warp_lane() & 16;
  float kept = is_high ? b : a;
  kept = __fadd_rn(kept, __shfl_xor_sync(~0u, is_high ? a : b, 16));
#pragma unroll
  for (int offset = 8; offset >= kLast; offset /= 2)
    kept = __fadd_rn(kept, __shfl_xor_sync(~0u, kept, offset));
  a = __shfl_sync(~0u, kept, 0);
  b = __shfl_sync(~0u, kept, 16);
}

template <DType kDType>
__device__ __forceinline__ void fold_halves(float& a) {
  constexpr int kLast = kDType == DType::f32 ? 2 : 1;
#pragma unroll
  for (int offset = 16; offset >= kLast; offset /= 2)
    a = __fadd_rn(a, __shfl_xor_sync(~0u, a, offset));
}

// What must be known of a chunk before its weights.
struct ChunkExtremes {
  float max;       // the warp's; NaN if it has one
  float smallest;  // the thread's

  template <DType kDType>
  __device__ __forceinline__ explicit ChunkExtremes(const Chunk<kDType>& chunk) {
    float largest;
    chunk.extremes(largest, smallest);
    max = warp_max_or_nan(largest);
  }
};

// A chunk's reference from its largest logit. Kept as the float that rounding by addition leaves
// (1.5·2^23 + n), whose bits differ as the integers do.
struct ChunkReference {
  float rounded;
  NearReference near;
  bool is_near;  // within f32's reach; false for a chunk without a finite maximum too

  // As rint of the exact product: one rounding, because |max·c| < 2^22 or the chunk is far.
  __device__ __forceinline__ ChunkReference(float max, const TileTemperature& temperature) {
    rounded = __fmaf_rn(max, temperature.c, kRoundingMagic);
    const float n = __fsub_rn(rounded, kRoundingMagic);
    near = {temperature.c, n, __fmul_rn(__fsub_rn(n, kFloor), temperature.inverse_c)};
    is_near = fabsf(n) <= static_cast<float>(kFarReference);
  }
};

// sink(position, S, E) of each of a thread's lanes of a near chunk.
template <class Exp, bool kMoment, bool kClamped, bool kPartial, DType kDType, class Sink>
__device__ __forceinline__ void weigh_as(const Chunk<kDType>& chunk, const NearReference& near,
                                         int columns, const Sink& sink) {
  const Exp exp(near);
#pragma unroll
  for (int i = 0; i < kPositions; ++i) {
    float s = 0.0f, e = 0.0f;
#pragma unroll
    for (int row = 0; row < kChunkRows; ++row) {
      Weight weight = exp.template operator()<kClamped>(chunk.value(row, i), near);
      if (kPartial && Chunk<kDType>::column(warp_lane(), row, i) >= columns) weight.w = 0.0f;
      s = row ? __fadd_rn(s, weight.w) : weight.w;
      if (kMoment) e = row ? __fmaf_rn(weight.w, weight.x, e) : __fmul_rn(weight.w, weight.x);
    }
    sink(i, s, e);
  }
}

template <class Exp, bool kMoment, DType kDType, class Sink>
__device__ __forceinline__ void weigh(const Chunk<kDType>& chunk, const ChunkExtremes& extremes,
                                      const NearReference& near, int columns, const Sink& sink) {
  // None is clamped: no column is missing either, those are −∞.
  if (__all_sync(~0u, extremes.smallest >= near.low))
    weigh_as<Exp, kMoment, false, false>(chunk, near, columns, sink);
  else if (columns >= kChunk)
    weigh_as<Exp, kMoment, true, false>(chunk, near, columns, sink);
  else
    weigh_as<Exp, kMoment, true, true>(chunk, near, columns, sink);
}

// The lanes of a tile in progress, at one temperature.
template <DType kDType, class Exp, bool kMoment>
class TileSums {
 public:
  // How a chunk's lanes join the tile's: multiplied by 2^-distance, or 0 where they are dropped.
  struct Join {
    float factor, distance;
  };

  __device__ __forceinline__ TileSums() {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) sums_[i] = moments_[i] = 0.0f;
  }

  // Before the lanes of the tile's chunk `index` are joined: false if that isn't near.
  __device__ __forceinline__ bool begin(const ChunkReference& chunk, float max, int index,
                                        Join& join) {
    if (!chunk.is_near) {
      if (!(max < -kNegInf))
        trouble_ = Trouble::poisoned;
      else if (max > kNegInf && trouble_ == Trouble::none)
        trouble_ = Trouble::far;
      return false;
    }
    if (max > max_) {
      max_ = max;
      max_chunk_ = index;
    }
    const int reference = __float_as_int(chunk.rounded);
    if (reference > reference_) {
      if (reference_ != kNone) raise(reference - reference_);
      reference_ = reference;
    }
    const int below = reference_ - reference;
    join = {drop(below),
            below > kDrop ? 0.0f : __fsub_rn(__int_as_float(reference_), chunk.rounded)};
    return true;
  }

  __device__ __forceinline__ void add_lane(const Join& join, int i, float s, float e) {
    if (kMoment) moments_[i] = __fmaf_rn(__fmaf_rn(join.distance, s, e), join.factor, moments_[i]);
    sums_[i] = __fmaf_rn(s, join.factor, sums_[i]);
  }

  // Adds the tile's chunk of this index, of which `columns` exist.
  __device__ __forceinline__ void add(const Chunk<kDType>& chunk, const ChunkExtremes& extremes,
                                      const TileTemperature& temperature, int index, int columns) {
    const ChunkReference reference(extremes.max, temperature);
    Join join;
    if (begin(reference, extremes.max, index, join))
      weigh<Exp, kMoment>(chunk, extremes, reference.near, columns,
                          [&](int i, float s, float e) { add_lane(join, i, s, e); });
  }

  // The tile has a NaN or +∞.
  __device__ bool is_poisoned() const { return trouble_ == Trouble::poisoned; }

  // A chunk beyond the reach of f32: the tile must be measured another way.
  __device__ bool is_far() const { return trouble_ == Trouble::far; }

  __device__ __forceinline__ TileRecord record() const {
    TileRecord record;
    if (reference_ == kNone) return record;
    float sum = fold_neighbours<kDType>(sums_), moment = 0.0f;
    if constexpr (kMoment) {
      moment = fold_neighbours<kDType>(moments_);
      fold_halves<kDType>(sum, moment);
    } else {
      fold_halves<kDType>(sum);
    }
    record.n = __fsub_rn(__int_as_float(reference_), kRoundingMagic);
    record.sum = sum * Exp::kUnit;
    record.moment = moment * Exp::kUnit;
    record.max = max_ + 0.0f;
    record.argmax = max_chunk_;
    return record;
  }

 private:
  enum class Trouble { none, far, poisoned };
  static constexpr int kNone = -1;  // below every reference's bits

  // Brings what is summed to a reference that is `d` higher. Exact.
  __device__ __forceinline__ void raise(int d) {
    const float factor = drop(d);
    const float distance = d > kDrop ? 0.0f : static_cast<float>(d);
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      if (kMoment) moments_[i] = __fmul_rn(__fmaf_rn(distance, sums_[i], moments_[i]), factor);
      sums_[i] = __fmul_rn(sums_[i], factor);
    }
  }

  float sums_[kPositions], moments_[kPositions];
  float max_ = kNegInf;
  int max_chunk_ = 0;
  int reference_ = kNone;
  Trouble trouble_ = Trouble::none;
};

}  // namespace logsum::cuda
