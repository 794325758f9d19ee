// SPDX-License-Identifier: Apache-2.0
// Draws without a second look at the whole tile: from the sums of every 256 columns that the first
// look left, the part of the tile a draw falls into, and in it the column. The draw is defined on
// exact integers (tile_cdf.hpp); these sums are rounded. So a column is only taken where the draw
// is further from both of its ends than rounding can reach, and the exact way is left for the rest.
#pragma once

#include <algorithm>

#include "cpu/row.hpp"

namespace logsum::cpu {

// The column of `tile` that a draw falls into at `share` of its mass; −1 where only the exact cdf
// can tell, or a sum is missing.
inline int find_by_spread(const Kernels& kernels, const Row& row, std::int64_t tile,
                          const TileSpread& spread, const Temperature& temperature, double share) {
  const auto n = static_cast<double>(*std::max_element(spread.n, spread.n + kTileChunks));
  float factor[kTileChunks];
  double mass_below[kSpreadSums + 1] = {};
  for (int k = 0; k < kTileChunks; ++k) {
    factor[k] = spread.n[k] > kNegInf ? drop_factor(static_cast<double>(spread.n[k]) - n) : 0.0f;
    for (int i = k * kChunkRows; i < (k + 1) * kChunkRows; ++i)
      mass_below[i + 1] = mass_below[i] + static_cast<double>(spread.sums[i] * factor[k]);
  }
  const double total = mass_below[kSpreadSums];
  if (!(total > 0)) return -1;
  const double target = share * total;
  int part = 0;
  while (part < kSpreadSums - 1 && mass_below[part + 1] <= target) ++part;

  const int first = part * kSpreadColumns;
  const int chunk = part / kChunkRows;
  alignas(64) float weights[kSpreadColumns];
  kernels.spread_weights(row.tile_begin(tile) + first * static_cast<int>(size_of(row.dtype())),
                         row.dtype(), spread.n[chunk], factor[chunk], temperature, weights);
  constexpr int kGroup = 16;
  double groups[kSpreadColumns / kGroup];
  for (int g = 0; g < kSpreadColumns / kGroup; ++g) {
    double sum = 0;
    for (int i = 0; i < kGroup; ++i) sum += static_cast<double>(weights[g * kGroup + i]);
    groups[g] = sum;
  }
  double below = mass_below[part];
  int column = 0;
  while (column < kSpreadColumns && below + groups[column / kGroup] <= target) {
    below += groups[column / kGroup];
    column += kGroup;
  }
  if (column == kSpreadColumns) return -1;
  const int end = column + kGroup;
  while (column < end && below + static_cast<double>(weights[column]) <= target)
    below += static_cast<double>(weights[column++]);
  if (column == end) return -1;
  // Both the draw and the column's ends may be off by their sums' error; and by the roundings to
  // draw units, half of one for each of 4096 columns.
  const double above = below + static_cast<double>(weights[column]);
  const double margin = 2.1 * kernels.spread_error * above + 0x1p-25;
  return target >= below + margin && target + margin <= above ? first + column : -1;
}

}  // namespace logsum::cpu
