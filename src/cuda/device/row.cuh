// SPDX-License-Identifier: Apache-2.0
// A row of logits and its records, by one warp: what operations do between "the tiles are measured"
// and "the outputs are written". Every thread of the warp calls, and gets the result.
#pragma once

#include <climits>

#include "core/results.hpp"
#include "cuda/device/tile_of_row.cuh"
#include "logsum/row_status.hpp"

namespace logsum::cuda {

// Records that another CTA may have written in the same launch, in global memory: volatile goes to
// L2, where those writes are. In shared memory it is a load.
struct RecordWords {
  unsigned long long word[3];
};
static_assert(sizeof(RecordWords) == sizeof(TileRecord));

__device__ __forceinline__ TileRecord load_record(const TileRecord* record) {
  RecordWords words;
  const auto* from = reinterpret_cast<const volatile unsigned long long*>(record);
#pragma unroll
  for (int i = 0; i < 3; ++i) words.word[i] = from[i];
  return std::bit_cast<TileRecord>(words);
}

__device__ __forceinline__ void store_record(TileRecord* record, const TileRecord& value) {
  const auto words = std::bit_cast<RecordWords>(value);
  auto* to = reinterpret_cast<volatile unsigned long long*>(record);
#pragma unroll
  for (int i = 0; i < 3; ++i) to[i] = words.word[i];
}

// A row's records by their tiles, in memory that other CTAs may have written.
struct StoredRecords {
  const TileRecord* records;

  __device__ __forceinline__ TileRecord operator()(int i) const { return load_record(records + i); }
};
// With another in place of one.
struct StoredRecordsBut {
  const TileRecord* records;
  int left_out;
  const TileRecord* instead;

  __device__ __forceinline__ TileRecord operator()(int i) const {
    return load_record(i == left_out ? instead : records + i);
  }
};

// join (core/measure.hpp) with the tiles spread over the warp. Sums are of integers: any order.
// Any references; not inlined, because those of ordinary rows are small integers.
template <class Records>
__device__ __noinline__ RowMeasure join_far(Records tiles, int count, RowMeasure row) {
  const double lowest = -0x1p1000;
  double n = lowest;
  for (int i = warp_lane(); i < count; i += kWarp) {
    const TileRecord tile = tiles(i);
    if (tile.sum > 0) n = fmax(n, tile.n);
  }
  row.n = warp_reduce(n, [](double a, double b) { return fmax(a, b); });
  if (row.n == lowest) row.n = 0.0;
  std::uint64_t mass = 0, moment = 0;
  for (int i = warp_lane(); i < count; i += kWarp) {
    const TileRecord tile = tiles(i);
    mass += tile_mass(tile, row);
    moment += static_cast<std::uint64_t>(tile_moment(tile, row));
  }
  row.mass = warp_sum(mass);
  row.moment = static_cast<std::int64_t>(warp_sum(moment));
  return row;
}

// trunc(sum · 2^e), by shifts: `sum` is a normal number and the result is below 2^62.
__device__ __forceinline__ std::uint64_t shifted(float sum, int e) {
  const unsigned bits = __float_as_uint(sum);
  const unsigned mantissa = (bits & 0x7fffffu) | 0x800000u;
  const int shift = static_cast<int>(bits >> 23) - 150 + e;
  if (shift >= 0) return static_cast<std::uint64_t>(mantissa) << shift;
  return shift > -24 ? mantissa >> -shift : 0;
}

// tile_mass, by shifts where the references are small integers.
__device__ __forceinline__ std::uint64_t mass_of_tile(const TileRecord& tile,
                                                      const RowMeasure& row) {
  if (!(tile.sum > 0)) return 0;
  const double lower = row.n - tile.n;
  if (lower > kFarReference) return tile_mass(tile, row);
  return shifted(tile.sum, row.mass_shift - __double2int_rn(lower));
}

// What a thread has of a tile while the warp joins.
struct JoinedTile {
  float sum = 0;  // not above 0: nothing is added
  int n = 0;
  float moment = 0;
};

// What else is joined on the way: nothing.
struct NoOthers {
  __device__ __forceinline__ bool is_far() const { return false; }
  __device__ __forceinline__ void look(int, const JoinedTile&) {}
  __device__ __forceinline__ void begin_sum() {}
  __device__ __forceinline__ void add(int, const JoinedTile&, int) {}
};

// The records of the first tiles, two per thread, are kept between looking for the largest
// reference and adding; others are loaded again.
template <bool kMoment, class Records, class Others = NoOthers>
__device__ __forceinline__ RowMeasure join_by_warp(const Records& tiles, int count,
                                                   std::int64_t columns, Others&& others = {}) {
  constexpr int kKept = 2;
  RowMeasure row;
  row.mass_shift = mass_shift(columns);
  int n = INT_MIN, max_tile = INT_MAX;
  bool is_far = others.is_far();
  const auto look = [&](int i) {
    const TileRecord tile = tiles(i);
    row.poisoned |= tile.sum != tile.sum;
    if (tile.max > row.max) {
      row.max = tile.max + 0.0f;
      max_tile = i;
    }
    is_far |= !(fabs(tile.n) <= kFarReference);
    const JoinedTile joined{tile.sum, __double2int_rn(tile.n), tile.moment};
    if (joined.sum > 0) n = max(n, joined.n);
    others.look(i, joined);
    return joined;
  };
  JoinedTile kept[kKept];
#pragma unroll
  for (int k = 0; k < kKept; ++k)
    if (warp_lane() + k * kWarp < count) kept[k] = look(warp_lane() + k * kWarp);
#pragma unroll 1
  for (int i = warp_lane() + kKept * kWarp; i < count; i += kWarp) look(i);
  const float max = from_order(warp_max(order_of(row.max)));
  max_tile = warp_min(row.max == max && max > kNegInf ? max_tile : INT_MAX);
  row.max = max;
  row.max_tile = max_tile == INT_MAX ? -1 : max_tile;
  row.poisoned = __any_sync(~0u, row.poisoned);
  if (__any_sync(~0u, is_far)) return join_far(tiles, count, row);
  n = warp_max(n);
  row.n = n == INT_MIN ? 0.0 : n;
  others.begin_sum();
  std::uint64_t mass = 0, moment = 0;
  const auto add = [&](int i, const JoinedTile& tile) {
    if (!(tile.sum > 0)) return;
    others.add(i, tile, row.mass_shift);
    const int lower = n - tile.n;
    mass += shifted(tile.sum, row.mass_shift - lower);
    if (kMoment && lower <= row.mass_shift + 113)  // as scaled_integer: nothing is left of others
      moment += static_cast<std::uint64_t>(static_cast<std::int64_t>(
          fma(static_cast<double>(lower), static_cast<double>(tile.sum),
              static_cast<double>(tile.moment)) *
          __hiloint2double((1023 + row.mass_shift - 7 - lower) << 20, 0)));
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) add(warp_lane() + k * kWarp, kept[k]);
#pragma unroll 1
  for (int i = warp_lane() + kKept * kWarp; i < count; i += kWarp) {
    const TileRecord tile = tiles(i);
    add(i, {tile.sum, __double2int_rn(tile.n), tile.moment});
  }
  row.mass = warp_sum(mass);
  if (kMoment) row.moment = static_cast<std::int64_t>(warp_sum(moment));
  return row;
}

// kStrided: one element at a time is all that can be asked of its logits.
template <DType kDType, bool kStrided = false>
class WarpRow {
 public:
  __device__ WarpRow(const RowsView& logits, std::int64_t row)
      : begin_(row_address(logits, row)),
        columns_(logits.columns),
        stride_(kStrided ? logits.stride : 1) {}

  __device__ std::int64_t columns() const { return columns_; }
  __device__ std::int64_t tiles() const { return tile_count(columns_); }
  __device__ const std::byte* tile(std::int64_t tile) const {
    static_assert(!kStrided);
    return begin_ + tile * (kTile * std::int64_t{size_of(kDType)});
  }
  __device__ int tile_columns(std::int64_t tile) const {
    return static_cast<int>(min(columns_ - tile * kTile, std::int64_t{kTile}));
  }

  __device__ float value(std::int64_t column) const {
    const std::int64_t stride = kStrided ? stride_ : 1;
    return load_element(begin_ + column * stride * std::int64_t{size_of(kDType)}, kDType);
  }

  // The lowest column that holds the row's maximum. A record's argmax is the chunk of its maximum.
  __device__ std::int64_t argmax(const RowMeasure& measure, const TileRecord* records) const {
    static_assert(!kStrided);
    const std::int64_t chunk = load_record(records + measure.max_tile).argmax;
    const std::int64_t first = measure.max_tile * kTile + chunk * kChunk;
    const auto columns = static_cast<int>(min(columns_ - first, std::int64_t{kChunk}));
    Chunk<kDType> values;
    load_chunk(values, begin_ + first * std::int64_t{size_of(kDType)}, columns, first == 0);
    int lowest = kChunk;
#pragma unroll
    for (int row = kChunkRows - 1; row >= 0; --row)
#pragma unroll
      for (int i = kPositions - 1; i >= 0; --i)
        if (values.value(row, i) == measure.max)
          lowest = Chunk<kDType>::column(warp_lane(), row, i);
    return first + warp_min(lowest);
  }

  // The lowest column, in the tile, that holds `value`.
  __device__ int find_in_tile(std::int64_t tile, float value) const {
    int lowest = kTile;
    each_value_of_tile(tile, [&](int column, float z) {
      if (z == value) lowest = min(lowest, column);
    });
    return warp_min(lowest);
  }

  // f(column in the tile, logit), plainly: rare.
  template <class F>
  __device__ void each_value_of_tile(std::int64_t tile, const F& f) const {
#pragma unroll 8
    for (int column = warp_lane(); column < tile_columns(tile); column += kWarp)
      f(column, value(tile * kTile + column));
  }

 private:
  const std::byte* begin_;
  std::int64_t columns_;
  std::int64_t stride_;  // between columns
};

// What is rare isn't inlined, and takes rows and measures by value: what it took by reference would
// lie in memory, for everyone.
template <class Row>
__device__ __noinline__ std::int64_t count_greater(Row row, const TileRecord* records, float than) {
  int count = 0;
  for (std::int64_t i = 0; i < row.tiles(); ++i)
    if (load_record(records + i).max > than)
      row.each_value_of_tile(i, [&](int, float z) { count += z > than; });
  return warp_reduce(count, [](int a, int b) { return a + b; });
}

// Not by looking at the row again, which an operation in place may be writing.
__device__ __noinline__ inline bool has_nan(const TileRecord* records, int count) {
  bool found = false;
  for (int i = warp_lane(); i < count; i += kWarp) {
    const TileRecord tile = load_record(records + i);
    found |= tile.sum != tile.sum && tile.argmax == kHasNan;
  }
  return __any_sync(~0u, found);
}

// A row's measure, and what is wrong with the row if anything is.
template <bool kMoment, class Others = NoOthers>
__device__ __forceinline__ RowMeasure join_records(const TileRecord* records, int tiles,
                                                   std::int64_t columns, RowStatus& status,
                                                   Others&& others = {}) {
  const RowMeasure measure = join_by_warp<kMoment>(StoredRecords{records}, tiles, columns, others);
  status = status_of(measure);
  if (measure.poisoned) status = has_nan(records, tiles) ? RowStatus::nan : RowStatus::pos_inf;
  return measure;
}
template <bool kMoment, class Row>
__device__ __forceinline__ RowMeasure join_records(const Row& row, const TileRecord* records,
                                                   RowStatus& status) {
  return join_records<kMoment>(records, static_cast<int>(row.tiles()), row.columns(), status);
}

}  // namespace logsum::cuda
