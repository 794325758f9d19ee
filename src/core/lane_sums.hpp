// SPDX-License-Identifier: Apache-2.0
// Sums in f64 in an order that a GPU's threads share: term i goes to lane i % kLanes, each lane is
// added in order, then 32 neighbours at a time are folded by halves, and what is left of them by
// halves too. Here by one thread; cuda/device/lane_sums.cuh by a warp or a CTA, with the same bits.
//
// Sums are structs of 8-byte members whose default adds nothing, with a commutative add().
#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace logsum {

inline constexpr int kWarpLanes = 32;    // of what is short: a group of rewards
inline constexpr int kBlockLanes = 256;  // of sequences, and across a batch

struct Sum {
  double value = 0;
  LOGSUM_HOST_DEVICE void add(const Sum& other) { value += other.value; }
};

template <int kLanes>
class SerialLanes {
 public:
  template <class Term>
  auto operator()(std::int64_t count, const Term& term) const {
    decltype(term(count)) lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i % kLanes].add(term(i));
    for (int first = 0; first < kLanes; first += kWarpLanes) fold(lanes + first, kWarpLanes, 1);
    fold(lanes, kLanes / kWarpLanes, kWarpLanes);
    return lanes[0];
  }

 private:
  template <class Sums>
  static void fold(Sums* lanes, int count, int step) {
    for (int half = count / 2; half >= 1; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i * step].add(lanes[(i + half) * step]);
  }
};

}  // namespace logsum
