// SPDX-License-Identifier: Apache-2.0
// A tile's columns as a cdf of exact integers: the second look at the one tile a draw fell into.
#pragma once

#include <algorithm>
#include <array>

#include "cpu/kernels.hpp"

namespace logsum::cpu {

class TileCdf {
 public:
  void build(const Kernels& kernels, const Tile& tile, const Temperature& temperature) {
    kernels.draw_weights(tile, temperature, weights_.data(), blocks_.data());
    block_count_ = (tile.columns + kDrawBlock - 1) / kDrawBlock;
    total_ = 0;
    for (int b = 0; b < block_count_; ++b) {
      total_ += blocks_[static_cast<std::size_t>(b)];
      blocks_[static_cast<std::size_t>(b)] = total_;
    }
  }

  // The column in which `share` of the tile's mass is reached. The tile's mass in the row's table
  // and the sum of its columns' units are rounded differently; a share maps one onto the other,
  // where a plain difference would leave the last column whatever rounding left over. −1 for a
  // share that isn't in [0, 1] or a tile without mass, which only draw can meet: its choices may be
  // another row's.
  int find(double share) const {
    if (!(share >= 0 && share <= 1) || total_ == 0) return -1;
    const auto scaled = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    const std::uint64_t target = std::min(scaled, total_ - 1);
    const auto last = blocks_.begin() + block_count_ - 1;
    const auto block = std::upper_bound(blocks_.begin(), last, target);
    std::uint64_t cdf = block == blocks_.begin() ? 0 : *(block - 1);
    auto column = static_cast<std::size_t>(block - blocks_.begin()) * kDrawBlock;
    const std::size_t end = column + kDrawBlock;
    while (column < end && (cdf += draw_units(weights_[column])) <= target) ++column;
    return static_cast<int>(column);
  }

 private:
  alignas(64) std::array<float, kTile> weights_;
  std::array<std::uint64_t, kDrawBlocks> blocks_;
  int block_count_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace logsum::cpu
