// SPDX-License-Identifier: Apache-2.0
// The tile a draw fell into, once more: its weights as integers, so that every prefix sum is exact.
#if defined(LOGSUM_CPU_DRAW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_DRAW_INL_H_
#undef LOGSUM_CPU_DRAW_INL_H_
#else
#define LOGSUM_CPU_DRAW_INL_H_
#endif

#include <algorithm>

#include "cpu/far_chunk.hpp"
#include "cpu/measure-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

// The weights of a near chunk relative to its own reference times `factor`; −∞ weighs nothing.
HWY_INLINE void near_weights(const float* z, int columns, const ChunkMath& math, float factor,
                             float* weights) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  const V unbias = hn::Set(d, 0x1p-101f);
  const V f = hn::Set(d, factor);
  const V lowest = hn::Set(d, kNegInf);
  constexpr int kAtOnce = 4;
  for (int i = 0; i < columns; i += kAtOnce * step) {
    V clamped[kAtOnce], p[kAtOnce], scale[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) clamped[k] = math.clamp(hn::LoadU(d, z + i + k * step));
    math.weights<kAtOnce>(clamped, p, scale);
    for (int k = 0; k < kAtOnce; ++k) {
      const V w = hn::Mul(hn::Mul(p[k], hn::Mul(scale[k], unbias)), f);
      const auto lives = hn::Gt(hn::LoadU(d, z + i + k * step), lowest);
      hn::Store(hn::IfThenElseZero(lives, w), d, weights + i + k * step);
    }
  }
}

// Rounds to draw units by adding 1.5·2^52, which leaves the integer in the low bits of the double.
HWY_INLINE void sum_blocks(const float* weights, int blocks, std::uint64_t* block_masses) {
  const hn::ScalableTag<double> d64;
  const hn::Rebind<float, hn::ScalableTag<double>> d32;
  const hn::RebindToUnsigned<hn::ScalableTag<double>> u64;
  const int step = static_cast<int>(hn::Lanes(d64));
  const auto unit = hn::Set(d64, static_cast<double>(1ull << kDrawShift));
  const auto magic = hn::Set(d64, 0x1.8p52);
  const auto magic_bits = hn::BitCast(u64, magic);
  for (int b = 0; b < blocks; ++b) {
    auto sum = hn::Zero(u64);
    for (int i = 0; i < kDrawBlock; i += step) {
      const auto w = hn::PromoteTo(d64, hn::LoadU(d32, weights + b * kDrawBlock + i));
      const auto shifted = hn::Add(hn::Mul(w, unit), magic);
      sum = hn::Add(sum, hn::Sub(hn::BitCast(u64, shifted), magic_bits));
    }
    block_masses[b] = hn::GetLane(hn::SumOfLanes(u64, sum));
  }
}

template <class Source>
HWY_INLINE void spread_weights_from(const void* source, const ChunkMath& math, float factor,
                                    float* weights) {
  const F32 d;
  const auto* in = static_cast<const typename Source::Stored*>(source);
  alignas(64) float z[kSpreadColumns];
  for (int i = 0; i < kSpreadColumns; i += static_cast<int>(hn::Lanes(d)))
    hn::Store(Source::at(in + i), d, z + i);
  near_weights(z, kSpreadColumns, math, factor, weights);
}

inline void spread_weights(const void* source, DType dtype, float n, float factor,
                           const Temperature& temperature, float* weights) {
  const ChunkMath math(temperature, n, lowest_counted(static_cast<double>(n), temperature));
  switch (dtype) {
    case DType::bf16: return spread_weights_from<FromBF16>(source, math, factor, weights);
    case DType::f16: return spread_weights_from<FromF16>(source, math, factor, weights);
    default: return spread_weights_from<FromF32>(source, math, factor, weights);
  }
}

inline void draw_weights(const Tile& tile, const Temperature& temperature, float* weights,
                         std::uint64_t* block_masses) {
  const int blocks = (tile.columns + kDrawBlock - 1) / kDrawBlock;
  const float max = *std::max_element(tile.chunk_max, tile.chunk_max + kTileChunks);
  const double n = ChunkReference(max, temperature).n;
  for (int k = 0; k * kChunk < tile.columns; ++k) {
    const float* z = tile.z + k * kChunk;
    float* out = weights + k * kChunk;
    const int columns = HWY_MIN(tile.columns - k * kChunk, kChunk);
    const ChunkReference reference(tile.chunk_max[k], temperature);
    const float factor = tile.chunk_max[k] == kNegInf ? 0.0f : drop_factor(reference.n - n);
    if (factor == 0.0f) {
      std::fill(out, out + columns, 0.0f);
    } else if (reference.is_far) {
      for (int i = 0; i < columns; ++i) {
        const FarWeight w = far_weight(z[i], reference.n, temperature);
        const bool counts = z[i] > kNegInf && w.exponent >= -kFloor;
        out[i] = counts ? std::ldexp(w.p, static_cast<int>(w.exponent)) * factor : 0.0f;
      }
    } else {
      near_weights(z, columns,
                   ChunkMath(temperature, static_cast<float>(reference.n), reference.lo), factor,
                   out);
    }
  }
  std::fill(weights + tile.columns, weights + blocks * kDrawBlock, 0.0f);
  sum_blocks(weights, blocks, block_masses);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
