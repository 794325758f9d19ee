// SPDX-License-Identifier: Apache-2.0
// How a warp emits a chunk in a ring. Nothing here is a call, for the reason that visit_rings.cuh
// gives.
#pragma once

#include <utility>

#include "cuda/device/ring_memory.cuh"
#include "cuda/device/steps.cuh"

namespace logsum::cuda {

// A chunk to be emitted, by one warp.
template <class Op>
struct RingChunk {
  static constexpr DType kDType = Op::kDType;
  static constexpr int kBytes = size_of(kDType);

  const std::byte* kept;  // in shared memory, the first input's
  std::byte* out;         // in the output
  int first;              // its column of the row
  int columns;

  __device__ __forceinline__ RingChunk(const RingMemory<Op>& memory, const RingSpace& space,
                                       const RingRow<Op>& row, const RingCursor& at, int quarter)
      : kept(memory.chunk(at.slot.at, quarter)),
        first(at.tile * kTile + quarter * kChunk),
        columns(min(space.columns - first, kChunk)) {
    out = row.given.out + std::int64_t{first} * kBytes;
  }
  // The same of another output.
  __device__ __forceinline__ RingChunk(const RingChunk& chunk, std::byte* row) : RingChunk(chunk) {
    out = row + std::int64_t{first} * kBytes;
  }

  __device__ __forceinline__ bool is_whole() const { return columns == kChunk; }

  __device__ __forceinline__ const std::byte* input(int i) const {
    return kept + i * RingMemory<Op>::kInputBytes;
  }

  // f(inputs…) of each column, a number.
  template <class F>
  __device__ __forceinline__ void write(const F& f) const {
    if (is_whole())
      write_whole(f, std::make_integer_sequence<int, Op::kInputs>());
    else
      write_slowly(f);
  }
  // With little code: for what is rare.
  template <class F>
  __device__ __forceinline__ void write_slowly(const F& f) const {
    write_columns(f, std::make_integer_sequence<int, Op::kInputs>());
  }
  // f is long: a row of lanes at a time.
  template <class F>
  __device__ __forceinline__ void write_by_rows(const F& f) const {
    if (!is_whole()) return write_slowly(f);
    const StepLayout layout(kDType);
#pragma unroll 1
    for (int row = 0; row < kChunkRows; ++row)
      write_row(f, layout, row * kLanes, std::make_integer_sequence<int, Op::kInputs>());
  }
  __device__ __forceinline__ bool has(int column) const {
    return static_cast<unsigned>(column - first) < static_cast<unsigned>(columns);
  }
  // A column that it has, after all of it was written.
  __device__ __forceinline__ void patch(int column, float value) const {
    __syncwarp();
    if (warp_lane() == 0) store(column - first, value);
  }
  __device__ __forceinline__ void fill(float value) const {
    std::uint32_t word = __float_as_uint(value);
    if constexpr (kDType != DType::f32) word = to_two_bytes(value, kDType) * 0x10001u;
    const int vectors = columns * kBytes / 16;
    for (int i = warp_lane(); i < vectors; i += kWarp)
      reinterpret_cast<uint4*>(out)[i] = {word, word, word, word};
    for (int i = vectors * 16 / kBytes + warp_lane(); i < columns; i += kWarp) store(i, value);
  }

 private:
  template <class F, int... kInput>
  __device__ __forceinline__ void write_row(const F& f, const StepLayout& layout, int column,
                                            std::integer_sequence<int, kInput...>) const {
    store_numbers<kDType>(out, column, apply(f, load_kept(layout, kInput, column)...));
  }
  __device__ __forceinline__ StepValues load_kept(const StepLayout& layout, int i,
                                                  int column) const {
    return load_step(TensorTile(const_cast<std::byte*>(input(i)), kBytes, kDType), layout, column,
                     kLanes);
  }
  __device__ __forceinline__ float load(int i, int column) const {
    const std::byte* const p = input(i) + column * kBytes;
    return load_shared_element<kDType>(p);
  }
  __device__ __forceinline__ void store(int column, float value) const {
    std::byte* const p = out + column * kBytes;
    if constexpr (kDType == DType::f32)
      *reinterpret_cast<float*>(p) = value;
    else
      *reinterpret_cast<unsigned short*>(p) =
          static_cast<unsigned short>(to_two_bytes(value, kDType));
  }

  template <class F, int... kInput>
  __device__ __forceinline__ void write_whole(const F& f,
                                              std::integer_sequence<int, kInput...>) const {
    write_chunk<kDType>(f, out, input(kInput)...);
  }
  template <class F, int... kInput>
  __device__ __forceinline__ void write_columns(const F& f,
                                                std::integer_sequence<int, kInput...>) const {
#pragma unroll 1
    for (int i = warp_lane(); i < columns; i += kWarp) store(i, f(load(kInput, i)...));
  }
};

}  // namespace logsum::cuda
