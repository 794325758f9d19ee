// SPDX-License-Identifier: Apache-2.0
// Where a tile's logits are: columns that follow each other, or columns of a row along another
// dimension than the last, each in its own place. Both come as the same chunks, so that the bits of
// what is measured are the same.
#pragma once

#include "core/rows.hpp"
#include "cuda/device/chunk.cuh"

namespace logsum::cuda {

__device__ __forceinline__ int columns_of_tile(const RowsView& view, std::int64_t tile) {
  return static_cast<int>(min(view.columns - tile * kTile, std::int64_t{kTile}));
}

template <DType kDTypeOf>
struct DenseTile {
  static constexpr DType kDType = kDTypeOf;
  static constexpr int kBytes = size_of(kDType);

  const std::byte* z;
  int columns;
  bool is_first;  // of its row: nothing before z may be read

  // All of it can be loaded as aligned vectors.
  __device__ __forceinline__ bool has_vectors() const {
    return reinterpret_cast<std::uintptr_t>(z) % 16 == 0 &&
           columns % Chunk<kDType>::kPerVector == 0;
  }

  // Wherever z is.
  __device__ __forceinline__ Chunk<kDType> chunk(int k) const {
    Chunk<kDType> chunk;
    chunk.load_odd(z + k * kChunk * kBytes, columns - k * kChunk, is_first && k == 0);
    return chunk;
  }
  __device__ __forceinline__ float value(int column) const {
    return load_element(z + column * kBytes, kDType);
  }
};

template <DType kDTypeOf>
struct StridedTile {
  static constexpr DType kDType = kDTypeOf;

  const std::byte* z;
  int columns;
  std::int64_t step;  // bytes between columns

  __device__ static constexpr bool has_vectors() { return false; }

  __device__ __forceinline__ Chunk<kDType> chunk(int k) const {
    Chunk<kDType> chunk;
    chunk.gather(z + k * kChunk * step, columns - k * kChunk, step);
    return chunk;
  }
  __device__ __forceinline__ float value(int column) const {
    return load_element(z + column * step, kDType);
  }
};

}  // namespace logsum::cuda
