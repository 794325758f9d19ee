// SPDX-License-Identifier: Apache-2.0
// A whole tile as f32, for what looks at it once more: searches, draws, writing the row.
#if defined(LOGSUM_CPU_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_LOAD_INL_H_
#undef LOGSUM_CPU_LOAD_INL_H_
#else
#define LOGSUM_CPU_LOAD_INL_H_
#endif

#include "cpu/chunk-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

static_assert(sizeof(TileScratch) == kTileChunks * sizeof(ChunkBuffer));

template <class Source>
HWY_INLINE Tile load_from(const void* source, int columns, TileScratch& scratch) {
  const auto* in = static_cast<const typename Source::Stored*>(source);
  const bool in_place = Source::kInPlace && columns == kTile;
  Tile tile;
  tile.columns = columns;
  tile.z = in_place ? static_cast<const float*>(source) : scratch.z;
  for (int k = 0; k < kTileChunks; ++k) {
    const int begin = k * kChunk;
    tile.chunk_max[k] = kNegInf;
    if (begin >= columns) continue;
    auto& buffer = reinterpret_cast<ChunkBuffer&>(scratch.z[begin]);
    const Chunk chunk = load_chunk<Source>(in + begin, columns - begin, buffer);
    tile.chunk_max[k] = chunk.max;
    if (!in_place && chunk.z != buffer.z) std::memcpy(buffer.z, chunk.z, sizeof buffer.z);
  }
  return tile;
}

inline Tile load_tile(const void* source, DType dtype, int columns, TileScratch& scratch) {
  switch (dtype) {
    case DType::bf16: return load_from<FromBF16>(source, columns, scratch);
    case DType::f16: return load_from<FromF16>(source, columns, scratch);
    default: return load_from<FromF32>(source, columns, scratch);
  }
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
