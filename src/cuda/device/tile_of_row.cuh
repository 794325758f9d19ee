// SPDX-License-Identifier: Apache-2.0
// What the visits ask of an operation. An Op has
//
//   Call       what its kernels get, with
//     logits, logits_row(row)                      the row that output row `row` reads; −1: none
//     looks_up_rows()                              logits_row reads memory
//     temperature(row), has_row_temperatures()
//   Kind       what is measured (MeasureKind)
//   Row        what is known of a row before it is measured, in shared memory:
//     prepare_places(call, row)                    by one warp, from the parameters alone,
//     prepare(call, row)                           and what must be read from memory
//   finish(call, row, records, Row&)               writes the row's results, by one warp
//   lead(call, row, records, Row&)                 the same where the row has a cluster to itself,
//   assist(i, Row&)                                with four warps' help if kAssists
#pragma once

#include "core/rows.hpp"
#include "cuda/device/measure.cuh"

namespace logsum::cuda {

// Threads of a CTA that has an SM to itself: 80 registers each for 2-byte logits (1024 with 64
// spill), 128 for f32, whose chunk fills twice as many.
template <DType kDType>
inline constexpr int kSpanThreads = kDType == DType::f32 ? 512 : 768;

// A row's own temperature. Not inlined: its divisions would crowd the registers of the loop around.
template <class Call>
__device__ __noinline__ TileTemperature temperature_of_row(const Call& call, std::int64_t row) {
  return TileTemperature(call.temperature(row));
}

// `scalar` where the temperature is the same for all rows.
template <class Call>
__device__ __forceinline__ TileTemperature temperature_of(const Call& call,
                                                          const TileTemperature& scalar,
                                                          std::int64_t row) {
  return call.has_row_temperatures() ? temperature_of_row(call, row) : scalar;
}

template <DType kDType>
__device__ __forceinline__ const std::byte* tile_address(const RowsView& logits, std::int64_t row,
                                                         unsigned tile) {
  return logits.data + logits.index.offset(row) +
         std::int64_t{tile} * (kTile * std::int64_t{size_of(kDType)});
}

template <class Kind>
__device__ __forceinline__ typename Kind::Tile stored_tile(const RowsView& logits, std::int64_t row,
                                                           unsigned tile) {
  const int columns = columns_of_tile(logits, tile);
  if constexpr (Kind::kStrided) {
    const std::int64_t step = logits.stride * std::int64_t{size_of(Kind::kDType)};
    return {logits.data + logits.index.offset(row) + std::int64_t{tile} * kTile * step, columns,
            step};
  } else {
    return {tile_address<Kind::kDType>(logits, row, tile), columns, tile == 0};
  }
}

template <class Op>
__device__ __forceinline__ TileRecords measure_tile_of_row(const typename Op::Call& call,
                                                           const TileTemperature& scalar,
                                                           std::int64_t row, unsigned tile) {
  using Kind = typename Op::Kind;
  const std::int64_t source = call.logits_row(row);
  if (source < 0) return {};
  return measure_tile<Kind>(stored_tile<Kind>(call.logits, source, tile),
                            temperature_of(call, scalar, row));
}

}  // namespace logsum::cuda
