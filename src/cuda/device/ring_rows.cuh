// SPDX-License-Identifier: Apache-2.0
// How the producer of a ring comes by its rows: where they are, and what must be known of each
// before it is measured. It issues its instructions in order and asks for a slot every 8 KB, so
// what it does per row counts: 700 instructions for a loss's parameters took 4 us, as long as a row
// of 32000 bf16 takes to pass.
//
// Both ways have
//   take(i)               the cluster's i-th row from now on, in their order
//   input(k)              where its k-th input begins
//   next_input(k)         where that of the row after it does, if there is one (PreparedRows)
//   begin(row, is_one)    fills the RingRow and arrives at its `begun`, by the whole warp
#pragma once

#include "cuda/device/ring_memory.cuh"
#include "cuda/tile_temperature.hpp"

namespace logsum::cuda {

// Looks a row's parameters up, one row early.
template <class Op>
class FetchedRows {
 public:
  using Call = typename Op::Call;

  __device__ __forceinline__ FetchedRows(const Call& call, const TileTemperature& scalar,
                                         const RingPlace& place)
      : call_(call), scalar_(scalar), place_(place), next_(call, place.row(0)) {}

  __device__ __forceinline__ void take(int i) {
    given_ = next_;
    number_ = place_.row(i);
    if (i + 1 < place_.rows) next_ = typename Op::Given(call_, place_.row(i + 1));
  }
  __device__ __forceinline__ const std::byte* input(int k) const { return at(Op::input(call_, k)); }
  __device__ __forceinline__ void begin(RingRow<Op>& row, bool is_one) const {
    if (is_one) row.given = {at(Op::output(call_)), number_, {call_, scalar_, given_}};
    __syncwarp();
    row.begun.arrive();
  }

 private:
  __device__ __forceinline__ std::byte* at(const RowsView& view) const {
    return view.data + view.index.offset(number_);
  }

  const Call& call_;
  const TileTemperature& scalar_;
  const RingPlace& place_;
  std::int64_t number_;
  typename Op::Given next_, given_ = next_;
};

// What a kernel before has prepared of a row, in a slot of its own, where the rows follow each
// other as they are visited. A ring fetches it whole, so the padding between its members is written
// too.
template <class Op>
struct alignas(16) RingPrepared {
  RingInputs<Op> inputs;
  RingGiven<Op> given;

  __device__ __forceinline__ void put(RingPrepared& slot) const {
    static_assert(sizeof(RingPrepared) % sizeof(uint4) == 0);
#pragma unroll
    for (int word = 0; word < static_cast<int>(sizeof(RingPrepared) / sizeof(uint4)); ++word)
      reinterpret_cast<uint4*>(&slot)[word] = {};
    slot = *this;
  }
};

template <class Op>
class PreparedRows {
 public:
  using Call = typename Op::Call;
  using Prepared = RingPrepared<Op>;

  __device__ __forceinline__ PreparedRows(const Call& call, const TileTemperature&,
                                          const RingPlace& place)
      : rows_(Op::prepared(call)), place_(place), next_(rows_[place.row(0)].inputs) {}

  __device__ __forceinline__ void take(int i) {
    row_ = rows_ + place_.row(i);
    inputs_ = next_;
    if (i + 1 < place_.rows) next_ = rows_[place_.row(i + 1)].inputs;
  }
  __device__ __forceinline__ const std::byte* input(int k) const { return inputs_.at[k]; }
  __device__ __forceinline__ const std::byte* next_input(int k) const { return next_.at[k]; }
  __device__ __forceinline__ void begin(RingRow<Op>& row, bool is_one) const {
    static_assert(sizeof(row.given) % 16 == 0 && alignof(RingGiven<Op>) == 16);
    if (is_one)
      row.begun.copy(&row.given, &row_->given, sizeof(row.given));
    else
      row.begun.arrive();
  }

 private:
  const Prepared* rows_;
  const RingPlace& place_;
  const Prepared* row_ = nullptr;
  RingInputs<Op> inputs_, next_;
};

template <class Op>
using RowsOfRing = std::conditional_t<Op::kIsPrepared, PreparedRows<Op>, FetchedRows<Op>>;

}  // namespace logsum::cuda
