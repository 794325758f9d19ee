// SPDX-License-Identifier: Apache-2.0
// A tile's columns as a cdf, by one warp: the second look at the tile a draw fell into, from L2.
#pragma once

#include "cuda/device/draw_block.cuh"

namespace logsum::cuda {

// In shared memory, of a warp.
struct TileCdfSpace {
  float chunk_max[kTileChunks];
  unsigned long long mass[kDrawBlocks];
};

template <DType kDType, class Exp>
class TileCdf {
 public:
  struct Found {
    int column;
    float logit;
  };

  __device__ __forceinline__ TileCdf(TileCdfSpace& space, const TileTemperature& temperature)
      : space_(space), temperature_(temperature) {}

  // Of the tile at z, of which `columns` exist and the largest is `max`. `is_first`: of its row.
  __device__ __forceinline__ void build(const std::byte* z, int columns, bool is_first, float max) {
    z_ = z;
    columns_ = columns;
    n_ = FarReference(max, temperature_).n;
    __syncwarp();  // nobody looks at the space any more
#pragma unroll 1
    for (int k = 0; k < kTileChunks; ++k) {
      Chunk<kDType> chunk;
      load_chunk(chunk, z + k * kChunk * static_cast<int>(size_of(kDType)), columns - k * kChunk,
                 is_first && k == 0);
      const float chunk_max = ChunkExtremes(chunk).max;
      if (warp_lane() == 0) space_.chunk_max[k] = chunk_max;
      sum_units(chunk, ColumnUnits<Exp>(chunk_max, n_, temperature_), space_.mass + k * kChunkRows);
    }
    __syncwarp();
  }

  // The column in which `share` of the tile's mass is reached; −1 where there is none. The same
  // share for the whole warp.
  __device__ __forceinline__ Found find(double share) const {
    const BlockTarget reached(space_.mass, share);
    if (reached.block < 0) return {-1, kNegInf};
    DrawBlock<kDType> block;
    block.load(z_, reached.block, columns_);
    block.sum(ColumnUnits<Exp>(space_.chunk_max[reached.block / kChunkRows], n_, temperature_));
    Found found;
    const bool is_owner = block.find(reached.target, found.column, found.logit);
    const int owner = __ffs(static_cast<int>(__ballot_sync(~0u, is_owner))) - 1;
    return {__shfl_sync(~0u, found.column, owner), __shfl_sync(~0u, found.logit, owner)};
  }

 private:
  TileCdfSpace& space_;
  TileTemperature temperature_;
  const std::byte* z_ = nullptr;
  int columns_ = 0;
  double n_ = 0;
};

}  // namespace logsum::cuda
