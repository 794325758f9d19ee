// SPDX-License-Identifier: Apache-2.0
// Scratch memory of a call: the caller's, or allocated for its length.
#pragma once

#include <cstdint>
#include <memory>

#include "core/measure.hpp"
#include "logsum/context.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

inline std::int64_t columns_of(const Tensor& logits, std::int64_t vocab_size) noexcept {
  if (logits.rank < 1 || logits.rank > kMaxRank) return 0;
  return vocab_size > 0 ? vocab_size : logits.dim(-1);
}

// What sample keeps per tile: measures at the temperature and at 1 (for the raw log-prob), and the
// cdf over the tiles. A size and an alignment: the arrays lie one behind the other.
struct SampleTile {
  TileRecord at_temperature, raw;
  std::uint64_t cumulative;
};

// And where there are several draws per row: 20 floats on the CPU.
struct SampleTileOfDraws : SampleTile {
  float spread[20];
};

// What is asked for where the true size can't be addressed: no caller has it. Sums of a few of them
// don't overflow.
inline constexpr std::size_t kMostWorkspace = std::size_t{1} << 60;

// Bytes for a T per tile of all rows (the leading dimensions of `rows`) and `per_row` more for each
// row; 0 for arguments that the operation would refuse.
template <class T>
std::size_t workspace_bytes(const Tensor& rows, int leading, std::int64_t columns,
                            std::size_t per_row = 0) noexcept {
  if (columns < 1 || leading > kMaxRank) return 0;
  std::size_t bytes = static_cast<std::size_t>(tile_count(columns)) * sizeof(T) + per_row;
  for (int i = 0; i < leading; ++i) {
    if (rows.shape[i] < 0) return 0;
    const auto size = static_cast<std::size_t>(rows.shape[i]);
    bytes = size > 0 && bytes > kMostWorkspace / size ? kMostWorkspace : bytes * size;
  }
  return bytes;
}

// On a GPU: counters of the CTAs first, at the same place for all operations, so that calls of any
// shapes may share a workspace; then the records of rows that CTAs share. Long rows all have theirs
// there.
inline constexpr std::int64_t kMostSpans = 1024;
inline constexpr std::size_t kSpanCounterBytes = kMostSpans * sizeof(unsigned);
inline constexpr std::int64_t kMostRingRecords = 128;  // of a row that isn't long

inline std::int64_t span_slots(std::int64_t rows, std::int64_t row_records) noexcept {
  return row_records > kMostRingRecords || rows < kMostSpans ? rows : kMostSpans;
}

// Of the counters and the records.
inline std::size_t span_bytes(std::int64_t rows, std::int64_t row_records) noexcept {
  return kSpanCounterBytes +
         static_cast<std::size_t>(span_slots(rows, row_records) * row_records) * sizeof(TileRecord);
}

// Bytes for a visit of `rows` rows (the leading dimensions) with so many records per tile, and
// `per_row` more for each row, which lie behind the records.
inline std::size_t span_workspace_bytes(const Tensor& rows, int leading, std::int64_t columns,
                                        int records_per_tile, std::size_t per_row = 0) noexcept {
  const std::size_t all = workspace_bytes<TileRecord>(rows, leading, columns, per_row);
  if (all == 0 || all >= kMostWorkspace / 2) return all;
  const std::int64_t tiles = tile_count(columns);
  const std::size_t count = all / (static_cast<std::size_t>(tiles) * sizeof(TileRecord) + per_row);
  return span_bytes(static_cast<std::int64_t>(count), tiles * records_per_tile) + count * per_row;
}

// Bytes for an operation of several launches that keeps `bytes` between them, and no records.
inline std::size_t launches_workspace_bytes(std::size_t bytes) noexcept {
  return bytes == 0 ? 0 : kSpanCounterBytes + bytes;
}

inline Status check_workspace(const char* operation, const Context& context,
                              std::size_t needed) noexcept {
  const Workspace& w = context.workspace;
  if (w.data == nullptr) return {};
  if (w.size < needed)
    return Status::error(StatusCode::out_of_memory, "%s: workspace has %zu bytes, needs %zu",
                         operation, w.size, needed);
  if (reinterpret_cast<std::uintptr_t>(w.data) % alignof(TileRecord) != 0)
    return Status::error(StatusCode::invalid_argument,
                         "%s: workspace is at %p, needs alignment to %zu", operation, w.data,
                         alignof(TileRecord));
  return {};
}

// Room for `count` of T: in the caller's workspace (checked before), or our own.
template <class T>
class Scratch {
 public:
  Scratch(const Context& context, std::size_t count) {
    if (context.workspace.data == nullptr) owned_ = std::make_unique_for_overwrite<T[]>(count);
    data_ = owned_ ? owned_.get() : static_cast<T*>(context.workspace.data);
  }
  T* data() { return data_; }

 private:
  std::unique_ptr<T[]> owned_;
  T* data_ = nullptr;
};

}  // namespace logsum
