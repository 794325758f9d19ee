// SPDX-License-Identifier: Apache-2.0
// The order in which values of a batch are added: a tree that halves it, so that equal halves of a
// batch, summed apart, add up to the bits of the whole. The tree over n has 2^d leaves, 2^d ≥ n;
// leaf j has element ⌊j·n/2^d⌋ unless leaf j + 1 has the same; neighbours are added, and so on.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace logsum {

class HalvingTree {
 public:
  LOGSUM_HOST_DEVICE explicit HalvingTree(std::int64_t n) : n_(n) {
    while ((std::int64_t{1} << depth_) < n) ++depth_;
  }

  LOGSUM_HOST_DEVICE std::int64_t leaves() const { return n_ > 0 ? std::int64_t{1} << depth_ : 0; }

  // A leaf's element, −1 if it has none.
  LOGSUM_HOST_DEVICE std::int64_t element(std::int64_t leaf) const {
    const std::int64_t i = first(leaf);
    return first(leaf + 1) > i ? i : -1;
  }

 private:
  // ⌊leaf·n/2^d⌋ in 128 bits: both may be large.
  LOGSUM_HOST_DEVICE std::int64_t first(std::int64_t leaf) const {
    if (depth_ < 31) return leaf * n_ >> depth_;
    return static_cast<std::int64_t>(
        static_cast<unsigned __int128>(leaf) * static_cast<unsigned __int128>(n_) >> depth_);
  }

  std::int64_t n_;
  int depth_ = 0;
};

// Values pushed leaf by leaf, or subtree by subtree of one size, in their order. At most kMost of
// them wait for their neighbour.
template <class T>
struct HalvingSum {
  static constexpr int kMost = 64;
  T waiting[kMost];
  int count = 0;
  std::int64_t pushed = 0;

  LOGSUM_HOST_DEVICE void push(T value) {
    for (std::int64_t k = pushed++; k & 1; k >>= 1) {
      T left = waiting[--count];
      left.add(value);
      value = left;
    }
    waiting[count++] = value;
  }
  LOGSUM_HOST_DEVICE T total() const { return count > 0 ? waiting[0] : T(); }
};

// Σ of value(i) for i in [0, n).
template <class T, class Value>
LOGSUM_HOST_DEVICE T halving_sum(std::int64_t n, const Value& value) {
  const HalvingTree tree(n);
  HalvingSum<T> sum;
  for (std::int64_t leaf = 0; leaf < tree.leaves(); ++leaf) {
    const std::int64_t i = tree.element(leaf);
    sum.push(i < 0 ? T() : value(i));
  }
  return sum.total();
}

}  // namespace logsum
