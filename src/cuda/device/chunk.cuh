// SPDX-License-Identifier: Apache-2.0
// A chunk of a tile (1024 columns) in the registers of one warp. The tile tree adds columns that
// are equal mod 256; a thread holds eight such lanes, which lie in one or two of its 16-byte loads.
#pragma once

#include <cuda_fp16.h>

#include "core/measure.hpp"
#include "cuda/device/warp.cuh"
#include "logsum/dtype.hpp"

namespace logsum::cuda {

inline constexpr int kPositions = kLanes / kWarp;  // lanes of the tile tree per thread

// The logit in 16 bits.
__device__ __forceinline__ float from_two_bytes(unsigned bits, DType dtype) {
  if (dtype == DType::bf16) return __uint_as_float(bits << 16);
  return __half2float(__half(__half_raw{static_cast<unsigned short>(bits)}));
}

// Of shared memory, or of what this kernel writes too.
template <DType kDType>
__device__ __forceinline__ float load_shared_element(const void* p) {
  if constexpr (kDType == DType::f32) return *static_cast<const float*>(p);
  return from_two_bytes(*static_cast<const unsigned short*>(p), kDType);
}

__device__ __forceinline__ float load_element(const void* p, DType dtype) {
  if (dtype == DType::f32) return __ldg(static_cast<const float*>(p));
  return from_two_bytes(__ldg(static_cast<const unsigned short*>(p)), dtype);
}

// What 16 bytes hold, from p on and `step` bytes apart, of which `left` logits exist; the others
// are −∞.
template <DType kDType>
__device__ __forceinline__ uint4 gather_vector(const std::byte* p, int left, std::int64_t step) {
  constexpr int kBytes = size_of(kDType);
  constexpr std::uint32_t kLowest = kDType == DType::bf16  ? 0xff80u
                                    : kDType == DType::f16 ? 0xfc00u
                                                           : 0xff800000u;
  std::uint32_t w[4] = {};
#pragma unroll
  for (int i = 0; i < 16 / kBytes; ++i) {
    std::uint32_t bits = kLowest;
    if (i < left) {
      if constexpr (kBytes == 2)
        bits = __ldg(reinterpret_cast<const unsigned short*>(p + i * step));
      else
        bits = __ldg(reinterpret_cast<const unsigned*>(p + i * step));
    }
    w[i * kBytes / 4] |= bits << (i * kBytes % 4 * 8);
  }
  return {w[0], w[1], w[2], w[3]};
}

// 16 bytes at p, of which `left` logits exist; the others are −∞. Where p isn't aligned, of the two
// aligned vectors around it, if both lie in the row (`is_first`: the row begins at p). Not inlined:
// the loop around aligned loads must stay small.
template <DType kDType>
__device__ __noinline__ uint4 load_anywhere(const std::byte* p, int left, bool is_first) {
  constexpr int kBytes = size_of(kDType);
  const auto shift = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(p) % 16);
  if (shift == 0 && left * kBytes >= 16) return __ldg(reinterpret_cast<const uint4*>(p));
  if (!is_first && left * kBytes + static_cast<int>(shift) >= 32) {
    const auto* aligned = reinterpret_cast<const uint4*>(p - shift);
    const uint4 a = __ldg(aligned), b = __ldg(aligned + 1);
    std::uint32_t w[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
    if (shift & 8)
#pragma unroll
      for (int i = 0; i < 6; ++i) w[i] = w[i + 2];
    if (shift & 4)
#pragma unroll
      for (int i = 0; i < 5; ++i) w[i] = w[i + 1];
#pragma unroll
    for (int i = 0; i < 4; ++i) w[i] = __funnelshift_r(w[i], w[i + 1], shift % 4 * 8);
    return {w[0], w[1], w[2], w[3]};
  }
  return gather_vector<kDType>(p, left, kBytes);
}

template <DType kDType>
struct Chunk {
  static constexpr int kBytes = size_of(kDType);
  static constexpr int kPerVector = 16 / kBytes;
  static constexpr int kVectors = kChunk / (kWarp * kPerVector);
  static constexpr int kVectorsPerRow = kVectors / kChunkRows;
  static constexpr std::uint32_t kLowest = kDType == DType::bf16  ? 0xff80ff80u
                                           : kDType == DType::f16 ? 0xfc00fc00u
                                                                  : 0xff800000u;
  uint4 v[kVectors];

  // Column, in the chunk, of a thread's position in a row of the chunk.
  __device__ static constexpr int column(int thread, int row, int position) {
    return row * kLanes + position / kPerVector * kWarp * kPerVector + thread * kPerVector +
           position % kPerVector;
  }

  __device__ __forceinline__ float value(int row, int position) const {
    const uint4& vector = v[row * kVectorsPerRow + position / kPerVector];
    const int i = position % kPerVector;
    const int word = i * kBytes / 4;
    const std::uint32_t bits = word == 0   ? vector.x
                               : word == 1 ? vector.y
                               : word == 2 ? vector.z
                                           : vector.w;
    if constexpr (kDType == DType::f32) return __uint_as_float(bits);
    if constexpr (kDType == DType::bf16)
      return __uint_as_float(i % 2 ? bits & 0xffff0000u : bits << 16);
    const __half_raw half{static_cast<unsigned short>(i % 2 ? bits >> 16 : bits & 0xffffu)};
    return __half2float(__half(half));
  }

  // The whole chunk at p, which is aligned to 16 bytes; p is the thread's first vector.
  __device__ __forceinline__ void load(const std::byte* p) {
    fill([p](int i) { return load_once(p + i * kWarp * 16); });
  }

  // The same where only `columns` exist, a multiple of a vector's; the rest is −∞.
  __device__ __forceinline__ void load(const std::byte* p, int columns) {
    fill_first(columns, [p](int i) { return load_once(p + i * kWarp * 16); });
  }

  // From shared memory, or from what this kernel writes too, of which `columns` exist, whole
  // vectors; the rest is −∞.
  __device__ __forceinline__ void take(const std::byte* from, int columns) {
    const auto* p = reinterpret_cast<const uint4*>(from) + warp_lane();
    fill_whole_or_first(columns, [p](int i) { return p[i * kWarp]; });
  }
  // The same by the address of the thread's first vector.
  __device__ __forceinline__ void take(unsigned address, int columns) {
    fill_whole_or_first(columns,
                        [address](int i) { return load_shared(address + i * kWarp * 16); });
  }

  // The whole chunk at `from`, aligned, of what this kernel writes too.
  __device__ __forceinline__ void take_by(L2Policy policy, const std::byte* from) {
    const auto* p = reinterpret_cast<const uint4*>(from) + warp_lane();
    fill([&](int i) { return load_by(policy, p + i * kWarp); });
  }

  // The chunk that begins at z, wherever that is, of which `columns` exist; the rest is −∞.
  // `is_first`: of its row, so that nothing before z may be read.
  __device__ __forceinline__ void load_odd(const std::byte* z, int columns, bool is_first) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
      v[i] = load_anywhere<kDType>(z + (i * kWarp + warp_lane()) * 16,
                                   columns - (i * kWarp + warp_lane()) * kPerVector,
                                   is_first && i == 0 && warp_lane() == 0);
  }

  // The chunk at z whose columns lie `step` bytes apart, of which `columns` exist; the rest is −∞.
  __device__ __forceinline__ void gather(const std::byte* z, int columns, std::int64_t step) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const int first = (i * kWarp + warp_lane()) * kPerVector;
      v[i] = gather_vector<kDType>(z + first * step, columns - first, step);
    }
  }

  // One of its columns becomes −∞.
  __device__ __forceinline__ void clear(int column) {
    if (column / kPerVector % kWarp != warp_lane()) return;
    const int vector = column / (kWarp * kPerVector), place = column % kPerVector * kBytes;
    const std::uint32_t mask = kBytes == 4 ? ~0u : 0xffffu << place % 4 * 8;
    const auto clear_word = [&](std::uint32_t& word, int i) {
      if (place / 4 == i) word = (word & ~mask) | (kLowest & mask);
    };
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (i != vector) continue;
      clear_word(v[i].x, 0);
      clear_word(v[i].y, 1);
      clear_word(v[i].z, 2);
      clear_word(v[i].w, 3);
    }
  }

  // Whether the smallest is worth finding: a quarter of an instruction per column of bf16. Of
  // others it costs what clamping all of them does.
  static constexpr bool kFindsSmallest = kDType == DType::bf16;

  // A thread's largest logit, NaN if it has one; and its smallest.
  __device__ __forceinline__ void extremes(float& largest, float& smallest) const {
    if constexpr (kDType == DType::bf16) {
      std::uint32_t high = v[0].x, low = v[0].x;
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        high = max_or_nan_bf16x2(max_or_nan_bf16x2(high, v[i].x), v[i].y);
        high = max_or_nan_bf16x2(max_or_nan_bf16x2(high, v[i].z), v[i].w);
        low = min_or_nan_bf16x2(min_or_nan_bf16x2(low, v[i].x), v[i].y);
        low = min_or_nan_bf16x2(min_or_nan_bf16x2(low, v[i].z), v[i].w);
      }
      largest = max_or_nan(__uint_as_float(high << 16), __uint_as_float(high & 0xffff0000u));
      smallest = fminf(__uint_as_float(low << 16), __uint_as_float(low & 0xffff0000u));
    } else {
      float largest_of_row[kChunkRows];  // not one chain of 32
#pragma unroll
      for (int row = 0; row < kChunkRows; ++row) {
        largest_of_row[row] = value(row, 0);
#pragma unroll
        for (int i = 1; i < kPositions; ++i)
          largest_of_row[row] = max_or_nan(largest_of_row[row], value(row, i));
      }
      largest = max_or_nan(max_or_nan(largest_of_row[0], largest_of_row[1]),
                           max_or_nan(largest_of_row[2], largest_of_row[3]));
      smallest = kNegInf;
    }
  }

 private:
  // vector(i): the thread's i-th.
  template <class Vector>
  __device__ __forceinline__ void fill(const Vector& vector) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) v[i] = vector(i);
  }
  // Of so many columns; the rest is −∞.
  template <class Vector>
  __device__ __forceinline__ void fill_first(int columns, const Vector& vector) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      v[i] = uint4{kLowest, kLowest, kLowest, kLowest};
      if ((i * kWarp + warp_lane()) * kPerVector < columns) v[i] = vector(i);
    }
  }
  template <class Vector>
  __device__ __forceinline__ void fill_whole_or_first(int columns, const Vector& vector) {
    if (columns >= kChunk)
      fill(vector);
    else
      fill_first(columns, vector);
  }
};

// Through memory of the thread's: not for where it happens often.
template <DType kDType>
__device__ __noinline__ Chunk<kDType> load_odd_chunk(const std::byte* z, int columns,
                                                     bool is_first) {
  Chunk<kDType> chunk;
  chunk.load_odd(z, columns, is_first);
  return chunk;
}

// The chunk that begins at z, of which `columns` exist, 0 or less too. `is_first`: of its row. What
// functions that aren't inlined return lies in memory: hence the copy, which keeps it out of the
// registers' way where the chunk isn't odd.
template <DType kDType>
__device__ __forceinline__ void load_chunk(Chunk<kDType>& chunk, const std::byte* z, int columns,
                                           bool is_first) {
  if (reinterpret_cast<std::uintptr_t>(z) % 16 != 0 ||
      (columns < kChunk && columns % Chunk<kDType>::kPerVector != 0)) {
    const Chunk<kDType> odd = load_odd_chunk<kDType>(z, columns, is_first);
#pragma unroll
    for (int i = 0; i < Chunk<kDType>::kVectors; ++i) chunk.v[i] = odd.v[i];
  } else {
    chunk.load(z + warp_lane() * 16, columns);
  }
}

}  // namespace logsum::cuda
