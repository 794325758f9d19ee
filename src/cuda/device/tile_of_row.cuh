// SPDX-License-Identifier: Apache-2.0
// What the visits ask of an operation. An Op has
//
//   Call       what its kernels get, with
//     logits, logits_row(row)                      the row that output row `row` reads; −1: none
//     looks_up_rows()                              logits_row reads memory
//     temperature                                  PerRowView
//   Kind       what is measured (MeasureKind)
//   Row        what is known of a row before it is measured, in shared memory:
//     prepare_places(call, row)                    by one warp, from the parameters alone,
//     prepare(call, row)                           and what must be read from memory
//   finish(call, row, records, Row&)               writes the row's results, by one warp
// and, if a row that has a cluster to itself is finished otherwise,
//   lead(call, row, of, records, Row&)             by one warp,
//   assist(call, row, i, of, records, maxes, Row&) with the help of 4 to 16; both false where it
//                                                  must be finished as others are
#pragma once

#include "core/rows.hpp"
#include "cuda/device/measure.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

template <class Op>
concept HasAssistants = requires {
  &Op::lead, &Op::assist;
};

// Where a row's elements of some tensors are, looked up by a thread each.
template <int kCount>
__device__ __forceinline__ void keep_places(Place (&places)[kCount],
                                            const ElementsView (&views)[kCount], std::int64_t row) {
  const int lane = warp_lane();
  if (lane < kCount) places[lane] = views[lane].place(row);
}

// A row's own temperature. Not inlined: its divisions would crowd the registers of the loop around.
__device__ __noinline__ inline TileTemperature temperature_of_row(const PerRowView<float>& view,
                                                                  std::int64_t row) {
  return TileTemperature(view(row));
}

// `scalar` where the temperature is the same for all rows.
__device__ __forceinline__ TileTemperature temperature_of(const PerRowView<float>& view,
                                                          const TileTemperature& scalar,
                                                          std::int64_t row) {
  return view.tensor ? temperature_of_row(view, row) : scalar;
}

__device__ __forceinline__ const std::byte* row_address(const RowsView& logits, std::int64_t row) {
  return logits.data + logits.index.offset(row);
}

template <class Kind>
__device__ __forceinline__ const std::byte* tile_address(const RowsView& logits, std::int64_t row,
                                                         unsigned tile) {
  const std::int64_t stride = Kind::kStrided ? logits.stride : 1;
  return row_address(logits, row) +
         std::int64_t{tile} * kTile * (stride * std::int64_t{size_of(Kind::kDType)});
}

// The tile at z.
template <class Kind>
__device__ __forceinline__ typename Kind::Tile tile_at(const RowsView& logits, const std::byte* z,
                                                       int columns, unsigned tile) {
  if constexpr (Kind::kStrided)
    return {z, columns, logits.stride * std::int64_t{size_of(Kind::kDType)}};
  else
    return {z, columns, tile == 0};
}

template <class Kind>
__device__ __forceinline__ typename Kind::Tile stored_tile(const RowsView& logits, std::int64_t row,
                                                           unsigned tile) {
  return tile_at<Kind>(logits, tile_address<Kind>(logits, row, tile), columns_of_tile(logits, tile),
                       tile);
}

template <class Op, bool kMayHaveVectors = true>
__device__ __forceinline__ TileRecords measure_tile_of_row(const typename Op::Call& call,
                                                           const TileTemperature& scalar,
                                                           std::int64_t row, unsigned tile) {
  using Kind = typename Op::Kind;
  const std::int64_t source = call.logits_row(row);
  if (source < 0) return {};
  return measure_tile<Kind, kMayHaveVectors>(stored_tile<Kind>(call.logits, source, tile),
                                             temperature_of(call.temperature, scalar, row));
}

}  // namespace logsum::cuda
