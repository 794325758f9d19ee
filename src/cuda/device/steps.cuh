// SPDX-License-Identifier: Apache-2.0
// A tile of any dtype, alignment and stride, read or written by a warp in steps of 256 columns (a
// row of the tile tree's lanes), eight per thread. Dtypes are told apart here, not by the kernels
// that use it: of those there would be 27.
//
// A step may be written to where it was read: a thread writes what it has read, and reads without
// __ldg, whose loads the compiler may repeat after the store.
#pragma once

#include "cuda/device/stored_tile.cuh"

namespace logsum::cuda {

// Of one tensor.
struct TensorTile {
  std::byte* at;
  std::int64_t step;  // bytes between columns
  DType dtype;

  __device__ __forceinline__ TensorTile(std::byte* at_, std::int64_t step_, DType dtype_)
      : at(at_), step(step_), dtype(dtype_) {}
  __device__ __forceinline__ TensorTile(const RowsView& view, std::int64_t row, std::int64_t tile)
      : at(static_cast<std::byte*>(view.column(row, tile * kTile))),
        step(view.stride * static_cast<std::int64_t>(size_of(view.dtype))),
        dtype(view.dtype) {}

  __device__ __forceinline__ bool is_narrow() const { return dtype != DType::f32; }
  __device__ __forceinline__ bool has_vectors() const {
    return step == (is_narrow() ? 2 : 4) && reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
  }
};

// Which columns a thread has: groups that follow each other.
struct StepLayout {
  int group;

  // As many as one access of 16 bytes has of the widest tensor. Where one of them can't be accessed
  // in vectors single columns, so that at least those of a warp follow each other.
  template <class... Tiles>
  __device__ __forceinline__ explicit StepLayout(const Tiles&... tiles)
      : group(!(tiles.has_vectors() && ...) ? 1
              : (tiles.is_narrow() && ...)  ? 8
                                            : 4) {}

  // Of tensors of one dtype whose vectors can be accessed.
  __device__ __forceinline__ explicit StepLayout(DType dtype)
      : group(dtype == DType::f32 ? 4 : 8) {}

  __device__ __forceinline__ int column(int position) const {
    const int lane = warp_lane();
    if (group == 8) return lane * 8 + position;
    if (group == 4) return position / 4 * (4 * kWarp) + lane * 4 + position % 4;
    return position * kWarp + lane;
  }
};

struct StepValues {
  float v[kPositions];
};

__device__ __forceinline__ void unpack(std::uint32_t word, DType dtype, float* v) {
  v[0] = from_two_bytes(word & 0xffffu, dtype);
  v[1] = from_two_bytes(word >> 16, dtype);
}

// The bits of dtype.hpp's conversions. Of NaNs only kNan comes here.
__device__ __forceinline__ std::uint32_t to_two_bytes(float x, DType dtype) {
  if (dtype == DType::bf16) return BFloat16(x).bits;
  return x == x ? __half_as_ushort(__float2half_rn(x)) : Half(kNan).bits;
}
__device__ __forceinline__ std::uint32_t pack(const float* v, DType dtype) {
  return to_two_bytes(v[0], dtype) | to_two_bytes(v[1], dtype) << 16;
}

// Two numbers, none of them NaN: the same bits, in one instruction for the two.
template <DType kDType>
__device__ __forceinline__ std::uint32_t pack_numbers(const float* v) {
  if constexpr (kDType == DType::bf16) return bf16x2_of(v[0], v[1]);
  return f16x2_of(v[0], v[1]);
}

// The step at column `first`, of which `columns` exist; the others are −∞.
__device__ __forceinline__ StepValues load_step(const TensorTile& tile, const StepLayout& layout,
                                                int first, int columns) {
  StepValues values;
  if (layout.group == 1 || columns < kLanes) {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      const int column = layout.column(i);
      values.v[i] = kNegInf;
      if (column >= columns) continue;
      const std::byte* const p = tile.at + (first + column) * tile.step;
      values.v[i] = tile.is_narrow()
                        ? from_two_bytes(*reinterpret_cast<const unsigned short*>(p), tile.dtype)
                        : *reinterpret_cast<const float*>(p);
    }
  } else if (layout.group == 8) {
    const uint4 words = *reinterpret_cast<const uint4*>(tile.at + (first + layout.column(0)) * 2);
    unpack(words.x, tile.dtype, values.v);
    unpack(words.y, tile.dtype, values.v + 2);
    unpack(words.z, tile.dtype, values.v + 4);
    unpack(words.w, tile.dtype, values.v + 6);
  } else {
#pragma unroll
    for (int i = 0; i < kPositions; i += 4) {
      const int column = first + layout.column(i);
      if (tile.is_narrow()) {
        const uint2 words = *reinterpret_cast<const uint2*>(tile.at + column * 2);
        unpack(words.x, tile.dtype, values.v + i);
        unpack(words.y, tile.dtype, values.v + i + 2);
      } else {
        const float4 four = *reinterpret_cast<const float4*>(tile.at + column * 4);
        values.v[i] = four.x;
        values.v[i + 1] = four.y;
        values.v[i + 2] = four.z;
        values.v[i + 3] = four.w;
      }
    }
  }
  return values;
}

__device__ __forceinline__ void store_step(const TensorTile& tile, const StepLayout& layout,
                                           int first, int columns, const StepValues& values) {
  const float* const v = values.v;
  if (layout.group == 1 || columns < kLanes) {
#pragma unroll
    for (int i = 0; i < kPositions; ++i) {
      const int column = layout.column(i);
      if (column >= columns) continue;
      std::byte* const p = tile.at + (first + column) * tile.step;
      if (tile.is_narrow())
        *reinterpret_cast<unsigned short*>(p) =
            static_cast<unsigned short>(to_two_bytes(v[i], tile.dtype));
      else
        *reinterpret_cast<float*>(p) = v[i];
    }
  } else if (layout.group == 8) {
    *reinterpret_cast<uint4*>(tile.at + (first + layout.column(0)) * 2) = {
        pack(v, tile.dtype), pack(v + 2, tile.dtype), pack(v + 4, tile.dtype),
        pack(v + 6, tile.dtype)};
  } else {
#pragma unroll
    for (int i = 0; i < kPositions; i += 4) {
      const int column = first + layout.column(i);
      if (tile.is_narrow())
        *reinterpret_cast<uint2*>(tile.at + column * 2) = {pack(v + i, tile.dtype),
                                                           pack(v + i + 2, tile.dtype)};
      else
        *reinterpret_cast<float4*>(tile.at + column * 4) =
            make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]);
    }
  }
}

// One column.
__device__ __forceinline__ void fill_one(const TensorTile& tile, int column, float value) {
  std::byte* const p = tile.at + column * tile.step;
  if (tile.is_narrow())
    *reinterpret_cast<unsigned short*>(p) =
        static_cast<unsigned short>(to_two_bytes(value, tile.dtype));
  else
    *reinterpret_cast<float*>(p) = value;
}

template <class F, class... Loaded>
__device__ __forceinline__ StepValues apply(const F& f, const Loaded&... loaded) {
  StepValues values;
#pragma unroll
  for (int i = 0; i < kPositions; ++i) values.v[i] = f(loaded.v[i]...);
  return values;
}

// out = f(in…), column by column; `out` may be one of `in`.
template <class F, class... Inputs>
__device__ __forceinline__ void write_tile(int columns, const F& f, const TensorTile& out,
                                           const Inputs&... in) {
  const StepLayout layout(out, in...);
#pragma unroll 1
  for (int first = 0; first < columns; first += kLanes)
    store_step(out, layout, first, columns - first,
               apply(f, load_step(in, layout, first, columns - first)...));
}

// The step at column `first` of a whole chunk, with vectors everywhere and of numbers: nothing is
// left to be decided.
template <DType kDType>
__device__ __forceinline__ void store_numbers(std::byte* chunk, int first,
                                              const StepValues& values) {
  constexpr int kBytes = size_of(kDType);
  const StepLayout layout(kDType);
  if constexpr (kDType == DType::f32) {
    store_step(TensorTile(chunk, kBytes, kDType), layout, first, kLanes, values);
  } else {
    const float* const v = values.v;
    *reinterpret_cast<uint4*>(chunk + (first + layout.column(0)) * kBytes) = {
        pack_numbers<kDType>(v), pack_numbers<kDType>(v + 2), pack_numbers<kDType>(v + 4),
        pack_numbers<kDType>(v + 6)};
  }
}

// write_tile of such a chunk, of one dtype.
template <DType kDType, class F, class... Inputs>
__device__ __forceinline__ void write_chunk(const F& f, std::byte* out, const Inputs*... in) {
  const StepLayout layout(kDType);
#pragma unroll
  for (int first = 0; first < kChunk; first += kLanes)
    store_numbers<kDType>(
        out, first,
        apply(f, load_step(TensorTile(const_cast<std::byte*>(in), size_of(kDType), kDType), layout,
                           first, kLanes)...));
}

// And where the input is in registers.
template <DType kDType, class F>
__device__ __forceinline__ void write_chunk(const F& f, std::byte* out, const Chunk<kDType>& in) {
#pragma unroll
  for (int row = 0; row < kChunkRows; ++row) {
    StepValues values;
#pragma unroll
    for (int i = 0; i < kPositions; ++i) values.v[i] = f(in.value(row, i));
    store_numbers<kDType>(out, row * kLanes, values);
  }
}

__device__ __forceinline__ void fill_tile(int columns, float value, const TensorTile& out) {
  write_tile(
      columns, [value] { return value; }, out);
}

}  // namespace logsum::cuda
