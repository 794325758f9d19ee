// SPDX-License-Identifier: Apache-2.0
// Tiles with trouble, slowly: a chunk whose reference is beyond f32's reach (huge logits, tiny
// temperatures; docs/design/tile_tree.md, "far chunks"), and tiles with NaN. Not inlined: they must
// not grow the loop around ordinary tiles.
#pragma once

#include "cuda/device/stored_tile.cuh"
#include "cuda/device/tile.cuh"

namespace logsum::cuda {

// The exact reference of any chunk with a finite maximum.
struct FarReference {
  double n;
  bool is_far;
  NearReference near;  // where it isn't

  __device__ FarReference(float max, const TileTemperature& temperature) {
    n = rint(static_cast<double>(max) * static_cast<double>(temperature.c)) + 0.0;  // never −0
    is_far = !(fabs(n) <= kFarReference);
    near = {temperature.c, static_cast<float>(n),
            __fmul_rn(__fsub_rn(static_cast<float>(n), kFloor), temperature.inverse_c)};
  }
};

// w and x of a far chunk: f64 products are exact. Far below the reference a column adds nothing.
// Not inlined, as it would be for each of a thread's columns.
__device__ __noinline__ inline Weight far_weight(float z, double n, TileTemperature temperature) {
  if (!(z > kNegInf)) return {0.0f, 0.0f};
  const double above = static_cast<double>(z) * static_cast<double>(temperature.c) - n;
  const double exponent = rint(above);
  if (exponent < -kFloor) return {0.0f, 0.0f};
  const float p = exp2_fraction(static_cast<float>(above - exponent));
  return {ldexpf(p, static_cast<int>(exponent)), static_cast<float>(-above)};
}

template <class Exp, class Tile>
__device__ __noinline__ TileRecord measure_far_tile(Tile tile, TileTemperature temperature) {
  constexpr DType kDType = Tile::kDType;
  float sums[kPositions] = {}, moments[kPositions] = {};
  TileRecord record;
  bool is_live = false;
  for (int k = 0; k < kTileChunks && k * kChunk < tile.columns; ++k) {
    const int left = tile.columns - k * kChunk;
    const auto chunk = tile.chunk(k);
    const float max = ChunkExtremes(chunk).max;
    if (max == kNegInf) continue;
    if (max > record.max) {
      record.max = max;
      record.argmax = k;
    }
    const FarReference reference(max, temperature);
    const double n = reference.n;
    const Exp exp(reference.near);

    const double r = is_live ? fmax(record.n, n) : n;
    const float old_factor =
        is_live && r - record.n <= kDrop ? drop(static_cast<int>(r - record.n)) : 0.0f;
    const float new_factor = r - n <= kDrop ? drop(static_cast<int>(r - n)) : 0.0f;
    const float old_distance = old_factor > 0.0f ? static_cast<float>(r - record.n) : 0.0f;
    const float new_distance = new_factor > 0.0f ? static_cast<float>(r - n) : 0.0f;
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      float s = 0.0f, e = 0.0f;
#pragma unroll
      for (int row = 0; row < kChunkRows; ++row) {
        if (Chunk<kDType>::column(warp_lane(), row, i) >= left) continue;
        Weight weight = exp.template operator()<true>(chunk.value(row, i), reference.near);
        if (reference.is_far) {
          weight = far_weight(chunk.value(row, i), n, temperature);
          weight.w *= 1.0f / Exp::kUnit;
        }
        s = __fadd_rn(s, weight.w);
        e = __fmaf_rn(weight.w, weight.x, e);
      }
      moments[i] = __fmaf_rn(__fmaf_rn(old_distance, sums[i], moments[i]), old_factor,
                             __fmul_rn(__fmaf_rn(new_distance, s, e), new_factor));
      sums[i] = __fmaf_rn(sums[i], old_factor, __fmul_rn(s, new_factor));
    }
    record.n = r;
    is_live = true;
  }
  float sum = fold_neighbours<kDType>(sums), moment = fold_neighbours<kDType>(moments);
  fold_halves<kDType>(sum, moment);
  record.sum = sum * Exp::kUnit;
  record.moment = moment * Exp::kUnit;
  return record;
}

// In place of an argmax, within a launch: the tile has a NaN, not only a +∞.
inline constexpr std::int32_t kHasNan = -2;

// Of a tile with a NaN or +∞: nothing but its largest logit that isn't NaN, and which it is.
template <class Tile>
__device__ __noinline__ TileRecord poisoned_record(const Tile tile) {
  float max = kNegInf;
  bool has_nan = false;
  for (int i = warp_lane(); i < tile.columns; i += kWarp) {
    const float z = tile.value(i);
    max = fmaxf(max, z);
    has_nan |= z != z;
  }
  TileRecord record;
  if (__any_sync(~0u, has_nan)) record.argmax = kHasNan;
  record.sum = kNan;
  record.max = warp_reduce(max, [](float a, float b) { return fmaxf(a, b); }) + 0.0f;
  return record;
}

}  // namespace logsum::cuda
