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
  float smallest;  // the thread's, where the chunk finds it

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

// Returns what no logit of the chunk is below.
template <class Exp, bool kMoment, DType kDType, class Sink>
__device__ __forceinline__ float weigh(const Chunk<kDType>& chunk, const ChunkExtremes& extremes,
                                       const NearReference& near, int columns, const Sink& sink) {
  // None is clamped: no column is missing either, those are −∞.
  if (Chunk<kDType>::kFindsSmallest && __all_sync(~0u, extremes.smallest >= near.low)) {
    weigh_as<Exp, kMoment, false, false>(chunk, near, columns, sink);
    return near.low;
  }
  if (columns >= kChunk)
    weigh_as<Exp, kMoment, true, false>(chunk, near, columns, sink);
  else
    weigh_as<Exp, kMoment, true, true>(chunk, near, columns, sink);
  return kNegInf;
}

// A thread's lanes, as they lie in shared memory.
using RoomForLanes = float4[kPositions / 4][kWarp];

__device__ __forceinline__ void put_lanes(RoomForLanes& room, const float (&values)[kPositions]) {
#pragma unroll
  for (int i = 0; i < kPositions / 4; ++i)
    room[i][warp_lane()] =
        make_float4(values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]);
}

__device__ __forceinline__ void get_lanes(const RoomForLanes& room, float (&values)[kPositions]) {
#pragma unroll
  for (int i = 0; i < kPositions / 4; ++i) {
    const float4 v = room[i][warp_lane()];
    values[4 * i] = v.x;
    values[4 * i + 1] = v.y;
    values[4 * i + 2] = v.z;
    values[4 * i + 3] = v.w;
  }
}

// Why a tile's sums aren't its record: a chunk beyond the reach of f32, a NaN or +∞.
enum class Trouble : int { none, far, poisoned };

// The lanes of a tile in progress, at one temperature.
template <DType kDType, class Exp, bool kMoment>
class TileSums {
 public:
  // How a chunk's lanes join the tile's, whose reference may rise for it: multiplied by
  // 2^-distance, or 0 where they are dropped.
  struct Join {
    float raise, raised;  // of what is summed: factor and distance
    float factor, distance;
  };

  __device__ __forceinline__ TileSums() {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) sums_[i] = moments_[i] = 0.0f;
  }

  // Before the lanes of the tile's chunk `index` are joined. Of one that isn't near, they are 0.
  __device__ __forceinline__ Join begin(const ChunkReference& chunk, float max, int index) {
    const bool is_poisoned = !(max < -kNegInf), is_far = !chunk.is_near & (max > kNegInf);
    if (is_far & (state_.trouble == Trouble::none)) state_.trouble = Trouble::far;
    if (is_poisoned) state_.trouble = Trouble::poisoned;
    const bool is_higher = chunk.is_near & (max > state_.max);
    state_.max = is_higher ? max : state_.max;
    state_.max_chunk = is_higher ? index : state_.max_chunk;
    const int reference = chunk.is_near ? __float_as_int(chunk.rounded) : kNone;
    const int before = state_.reference;
    state_.reference = ::max(reference, before);
    const int up = before == kNone ? 0 : state_.reference - before;
    const int below = state_.reference - reference;
    return {drop(up), distance(up, before), drop(below), distance(below, reference)};
  }

  // Brings what is summed in a lane to the risen reference. Exact, and nothing where it didn't
  // rise.
  __device__ __forceinline__ void raise_lane(const Join& join, int i) {
    if (kMoment) moments_[i] = __fmul_rn(__fmaf_rn(join.raised, sums_[i], moments_[i]), join.raise);
    sums_[i] = __fmul_rn(sums_[i], join.raise);
  }
  __device__ __forceinline__ void add_lane(const Join& join, int i, float s, float e) {
    if (kMoment) moments_[i] = __fmaf_rn(__fmaf_rn(join.distance, s, e), join.factor, moments_[i]);
    sums_[i] = __fmaf_rn(s, join.factor, sums_[i]);
  }

  // Adds the tile's chunk of this index, of which `columns` exist.
  __device__ __forceinline__ void add(const Chunk<kDType>& chunk, const ChunkExtremes& extremes,
                                      const TileTemperature& temperature, int index, int columns) {
    const ChunkReference reference(extremes.max, temperature);
    const Join join = begin(reference, extremes.max, index);
    if (!reference.is_near) return;
    if (join.raise != 1.0f)
#pragma unroll
      for (int i = 0; i < kPositions; ++i) raise_lane(join, i);
    weigh<Exp, kMoment>(chunk, extremes, reference.near, columns,
                        [&](int i, float s, float e) { add_lane(join, i, s, e); });
  }

  // The tile must be measured another way.
  __device__ Trouble trouble() const { return state_.trouble; }

  __device__ __forceinline__ TileRecord record() const {
    float sum = fold_neighbours<kDType>(sums_), moment = 0.0f;
    if constexpr (kMoment) {
      moment = fold_neighbours<kDType>(moments_);
      fold_halves<kDType>(sum, moment);
    } else {
      fold_halves<kDType>(sum);
    }
    TileRecord record;  // of an empty tile, unless
    record.sum = sum * Exp::kUnit;
    record.moment = moment * Exp::kUnit;
    record.max = state_.max + 0.0f;
    record.argmax = state_.max_chunk;
    if (state_.reference != kNone)
      record.n = __fsub_rn(__int_as_float(state_.reference), kRoundingMagic);
    return record;
  }

  // What isn't a thread's own: the same in all of the warp.
  struct alignas(16) State {
    float max = kNegInf;
    int max_chunk = -1;
    int reference = kNone;
    Trouble trouble = Trouble::none;
  };

  // For the warp that adds the tile's next chunk.
  template <class Room>
  __device__ __forceinline__ void put(Room& room) const {
    put_lanes(room.lanes[0], sums_);
    if constexpr (kMoment) put_lanes(room.lanes[1], moments_);
    __syncwarp();  // all have the state that was there
    if (warp_lane() == 0) room.state = state_;
  }
  template <class Room>
  __device__ __forceinline__ void get(const Room& room) {
    get_lanes(room.lanes[0], sums_);
    if constexpr (kMoment) get_lanes(room.lanes[1], moments_);
    state_ = room.state;
  }

 private:
  static constexpr int kNone = -1;  // below every reference's bits

  // Of a reference that is `d` lower than the tile's.
  __device__ __forceinline__ float distance(int d, int reference) const {
    if (d == 0 || d > kDrop) return 0.0f;
    return __fsub_rn(__int_as_float(state_.reference), __int_as_float(reference));
  }

  float sums_[kPositions], moments_[kPositions];
  State state_;
};

}  // namespace logsum::cuda
