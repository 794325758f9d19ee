// SPDX-License-Identifier: Apache-2.0
// What a ring's producer will ask for some slots later, to be brought into L2 before. Not a loop's
// worth of arithmetic: it is one warp that issues its instructions in order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/host_device.hpp"

namespace logsum::cuda {

template <int kSlotBytes>
class SlotsAhead {
 public:
  static constexpr int kAhead = 4;  // f32, 2048 x 151936: 709 us; 2: 718, 8: 713

  struct Piece {
    const std::byte* from;
    int bytes;  // a multiple of 16; not above 0: none
  };

  // At a row's first slot, of `slots` that have `left` bytes from there on. The CTA's slice of the
  // next row begins at next + offset, from where on it has `left_of_next`; 0: there is no such row.
  // `next` isn't looked at yet: it may be on its way.
  LOGSUM_HOST_DEVICE void begin_row(const std::byte* from, int slots, int left,
                                    const std::byte* next, std::int64_t offset, int left_of_next) {
    const int ahead = slots < kAhead ? slots : kAhead;
    from_ = from + ahead * kSlotBytes;
    left_ = left - ahead * kSlotBytes;
    of_row_ = slots - ahead;
    next_ = next;
    offset_ = offset;
    left_of_next_ = left_of_next;
  }
  // At each slot: of the row, then of the next.
  LOGSUM_HOST_DEVICE Piece take() {
    if (of_row_-- == 0) {
      from_ = next_ + offset_;
      left_ = left_of_next_;
    }
    const Piece piece{from_, (left_ < kSlotBytes ? left_ : kSlotBytes) & ~15};
    from_ += kSlotBytes;
    left_ -= kSlotBytes;
    return piece;
  }

 private:
  const std::byte *from_ = nullptr, *next_ = nullptr;
  std::int64_t offset_ = 0;
  int left_ = 0, left_of_next_ = 0, of_row_ = 0;
};

}  // namespace logsum::cuda
