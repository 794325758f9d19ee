// SPDX-License-Identifier: Apache-2.0
// A tile of logits of any dtype seen through a softcap, if there is one, as a tile of f32.
#pragma once

#include "core/softcap.hpp"
#include "cuda/device/stored_tile.cuh"

namespace logsum::cuda {

struct CappedTile {
  static constexpr DType kDType = DType::f32;

  const std::byte* z;
  int columns;
  DType stored;
  Softcap softcap;

  __device__ __forceinline__ CappedTile(const RowsView& logits, std::int64_t row, std::int64_t tile,
                                        const Softcap& softcap_)
      : z(static_cast<const std::byte*>(logits.column(row, tile * kTile))),
        columns(columns_of_tile(logits, tile)),
        stored(logits.dtype),
        softcap(softcap_) {}

  __device__ __forceinline__ float value(int column) const {
    const float value = load_element(z + column * static_cast<int>(size_of(stored)), stored);
    return softcap.cap != 0 ? softcap(value) : value;
  }

  __device__ __forceinline__ Chunk<kDType> chunk(int k) const {
    Chunk<kDType> chunk;
#pragma unroll
    for (int i = 0; i < Chunk<kDType>::kVectors; ++i) {
      const int first = k * kChunk + (i * kWarp + warp_lane()) * Chunk<kDType>::kPerVector;
      float v[Chunk<kDType>::kPerVector];
#pragma unroll
      for (int j = 0; j < Chunk<kDType>::kPerVector; ++j)
        v[j] = first + j < columns ? value(first + j) : kNegInf;
      chunk.v[i] = {__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]),
                    __float_as_uint(v[3])};
    }
    return chunk;
  }
};

}  // namespace logsum::cuda
