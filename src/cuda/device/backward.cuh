// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax with respect to the logits, as src/cpu/backward-inl.h and to
// its bits: a sum in f64, per tile in lanes of column mod 256 that are folded, then one write.
#pragma once

#include "core/row_sum.hpp"
#include "cuda/device/emit.cuh"

namespace logsum::cuda {

// Σ g·p; a p of 0 counts as 0 whatever its g. The product of two f32 is exact in f64.
struct Products {
  __device__ __forceinline__ double operator()(float g, float p, double sum) const {
    if (p <= 0.0f) return sum;
    return __fma_rn(static_cast<double>(g), static_cast<double>(p), sum);
  }
};

// Σ g over the columns whose log-prob isn't −∞; NaN if one is NaN.
struct Live {
  __device__ __forceinline__ double operator()(float g, float logp, double sum) const {
    if (logp == kNegInf) return sum;
    return __dadd_rn(sum, static_cast<double>(__fmaf_rn(logp, 0.0f, g)));
  }
};

// Lanes that a thread has of a warp's, 32 columns apart: halves first.
template <int kCount>
__device__ __forceinline__ double fold_lanes(double (&sums)[kCount]) {
#pragma unroll
  for (int count = kCount / 2; count >= 1; count /= 2)
#pragma unroll
    for (int i = 0; i < count; ++i) sums[i] = __dadd_rn(sums[i], sums[i + count]);
#pragma unroll
  for (int offset = kWarp / 2; offset >= 1; offset /= 2)
    sums[0] = __dadd_rn(sums[0], __shfl_xor_sync(~0u, sums[0], offset));
  return sums[0];
}

// Of a row, from its tiles'.
__device__ __forceinline__ double sum_in_order(const double* sums, std::int64_t tiles) {
  double sum = sums[0];
#pragma unroll 8
  for (std::int64_t tile = 1; tile < tiles; ++tile) sum = __dadd_rn(sum, sums[tile]);
  return sum;
}

// Σ over the tile. `lanes`: the warp's, in shared memory. Missing columns are −∞: they don't count.
template <class Terms>
__device__ __forceinline__ double sum_of_tile(int columns, const TensorTile& g,
                                              const TensorTile& output, double (&lanes)[kLanes]) {
  const Terms add;
  const StepLayout layout(g, output);
  double sums[kPositions] = {};
#pragma unroll 1
  for (int first = 0; first < columns; first += kLanes) {
    const StepValues gs = load_step(g, layout, first, columns - first);
    const StepValues outputs = load_step(output, layout, first, columns - first);
#pragma unroll
    for (int i = 0; i < kPositions; ++i) sums[i] = add(gs.v[i], outputs.v[i], sums[i]);
  }
  // Whatever columns a thread had: from here on those that are equal mod 32.
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kPositions; ++i) lanes[layout.column(i)] = sums[i];
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kPositions; ++i) sums[i] = lanes[i * kWarp + warp_lane()];
  return fold_lanes(sums);
}

// p·(g − sum)/T
struct SoftmaxGradient {
  RowSum sum;

  __device__ __forceinline__ explicit SoftmaxGradient(const RowSum& sum_) : sum(sum_) {}

  __device__ __forceinline__ float operator()(float g, float p) const {
    const float above = __fsub_rn(__fsub_rn(g, sum.high), sum.low);
    return p <= 0.0f ? 0.0f : __fmul_rn(__fmul_rn(above, sum.inverse_t), p);
  }
};

// (g − p·sum)/T with p = e^logp; where p > ½ from 1 − p. Of a row without NaN.
struct LogSoftmaxGradient {
  RowSum sum;

  static constexpr float kFloorLog = -111.0f;
  static constexpr float kCeilingLog = 16.0f;
  static constexpr float kMinusLn2 = -0.6931472f;

  __device__ __forceinline__ explicit LogSoftmaxGradient(const RowSum& sum_) : sum(sum_) {}

  __device__ __forceinline__ float operator()(float g, float logp) const {
    constexpr auto c = static_cast<float>(kLog2e);
    const float x = fminf(fmaxf(logp, kFloorLog), kCeilingLog);
    const float rounded = __fmaf_rn(x, c, kExponentMagic);
    const float f = __fmaf_rn(x, c, __fsub_rn(kExponentMagic, rounded));
    float p = __fmaf_rn(poly(0), f, poly(1));
#pragma unroll
    for (int i = 2; i < 5; ++i) p = __fmaf_rn(p, f, poly(i));
    p = __fmul_rn(p, f);  // 2^f − 1
    const float scale = __fmul_rn(power_of_two(rounded), 0x1p-101f);
    float gradient = __fmaf_rn(-__fmaf_rn(scale, p, scale), sum.high, g);
    if (logp > kMinusLn2) {  // one column of a row at most
      const float minus_rest = __fmaf_rn(scale, p, __fsub_rn(scale, 1.0f));
      gradient = __fmaf_rn(-minus_rest, sum.high, __fsub_rn(__fsub_rn(g, sum.high), sum.low));
    }
    return logp == kNegInf ? 0.0f : __fmul_rn(gradient, sum.inverse_t);
  }
};

// The same by the hardware's exponential where p isn't above ½: p within 3e-6, for a third of the
// instructions.
struct HardwareLogSoftmaxGradient {
  static constexpr float kLift = 64;  // so that no p is flushed to 0 that matters
  static constexpr float kLeastSum = 0x1p-60f;

  LogSoftmaxGradient exact;
  float lifted_sum;
  bool suits;  // the row: its sum, lifted, isn't subnormal

  __device__ __forceinline__ explicit HardwareLogSoftmaxGradient(const RowSum& sum)
      : exact(sum),
        lifted_sum(sum.high * 0x1p-64f),
        suits(fabsf(sum.high) >= kLeastSum || sum.high == 0.0f) {}

  // Of a log-prob that isn't above −ln 2, in a row that suits.
  __device__ __forceinline__ float common(float g, float logp) const {
    constexpr auto c = static_cast<float>(kLog2e);
    const float p = exp2_approximate(__fmaf_rn(logp, c, kLift));
    const float gradient = __fmul_rn(__fmaf_rn(-p, lifted_sum, g), exact.sum.inverse_t);
    return logp == kNegInf ? 0.0f : gradient;
  }
  __device__ __forceinline__ float operator()(float g, float logp) const {
    if (!suits || logp > LogSoftmaxGradient::kMinusLn2) return exact(g, logp);
    return common(g, logp);
  }
};

// Whether one of the log-probs of a whole chunk is above −ln 2, as the warp sees it. As integers
// the bits of negative numbers fall where the numbers rise, and those of positive ones are below.
template <DType kDType>
__device__ __forceinline__ bool any_above_half(const std::byte* chunk) {
  constexpr std::uint32_t kFirst = kDType == DType::bf16  ? 0xbf32u  // that isn't above
                                   : kDType == DType::f16 ? 0xb98cu
                                                          : 0xbf317218u;
  const auto least = [](std::uint32_t a, std::uint32_t b) {
    return kDType == DType::f32 ? min(a, b) : __vminu2(a, b);
  };
  const auto* vectors = reinterpret_cast<const uint4*>(chunk) + warp_lane();
  std::uint32_t bits = ~0u;
#pragma unroll
  for (int i = 0; i < kChunk * static_cast<int>(size_of(kDType)) / (16 * kWarp); ++i) {
    const uint4 four = vectors[i * kWarp];
    bits = least(least(bits, four.x), least(four.y, least(four.z, four.w)));
  }
  if (kDType != DType::f32) bits = min(bits & 0xffffu, bits >> 16);
  return __any_sync(~0u, bits < kFirst);
}

}  // namespace logsum::cuda
