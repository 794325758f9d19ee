// SPDX-License-Identifier: Apache-2.0
// From a row's joined records to its results: shared by every operation that scores or samples,
// whole rows and sharded ones.
#pragma once

#include <algorithm>

#include "core/measure.hpp"
#include "core/rows.hpp"
#include "logsum/merge.hpp"
#include "logsum/rng.hpp"
#include "logsum/row_status.hpp"

namespace logsum {

// What is wrong with a row of these records, if anything. Of a poisoned row only the caller who can
// see the logits knows whether it holds a NaN.
LOGSUM_HOST_DEVICE inline RowStatus status_of(const RowMeasure& row) {
  if (row.poisoned) return row.max == -kNegInf ? RowStatus::pos_inf : RowStatus::nan;
  return row.mass == 0 || row.max_tile < 0 ? RowStatus::empty : RowStatus::ok;
}

LOGSUM_HOST_DEVICE inline float lse_of_failed(RowStatus status) {
  return status == RowStatus::empty ? kNegInf : kNan;
}

// Where a draw's uniform comes from: the caller's u, or seed and offset.
struct Uniforms {
  ElementsView u;  // [rows, draws]
  PerRowView<std::uint64_t> seed, offset;

  // The uniform as 53 bits; false if the caller's u is outside [0, 1).
  LOGSUM_HOST_DEVICE bool bits(std::int64_t row, std::int64_t draw, std::uint64_t& bits) const {
    if (!u) {
      bits =
          uniform_bits(seed(row), offset(row), static_cast<std::uint32_t>(draw), RngStream::sample);
      return true;
    }
    const double value = u.real(row, draw);
    if (!(value >= 0.0 && value < 1.0)) return false;
    bits = static_cast<std::uint64_t>(value * 0x1p53);
    return true;
  }

  LOGSUM_HOST_DEVICE bool hold(std::int64_t row, std::int64_t draws) const {
    std::uint64_t ignored;
    for (std::int64_t k = 0; u && k < draws; ++k)
      if (!bits(row, k, ignored)) return false;
    return true;
  }
};

// ⌊u · mass⌋ of a uniform of 53 bits.
LOGSUM_HOST_DEVICE inline std::uint64_t portion(std::uint64_t bits, std::uint64_t mass) {
#ifdef __CUDA_ARCH__
  return __umul64hi(bits << 11, mass);
#else
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(bits) * mass >> 53);
#endif
}

// The tile that a draw falls into.
struct TileChoice {
  std::int64_t tile;
  double share;  // of the tile's mass that lies below the draw

  // `below` and `above`: the masses before the tile and up to its end.
  LOGSUM_HOST_DEVICE TileChoice(std::int64_t chosen, std::uint64_t target, std::uint64_t below,
                                std::uint64_t above)
      : tile(chosen),
        share(static_cast<double>(target - below) / static_cast<double>(above - below)) {}
};

// A row's tiles as a cdf of exact integers.
class TileChooser {
 public:
  // `above` has room for the masses of the tiles up to and with each.
  template <class Records>
  TileChooser(const Records& records, std::int64_t tiles, const RowMeasure& row,
              std::uint64_t* above)
      : tiles_(tiles), above_(above) {
    for (std::int64_t i = 0; i < tiles; ++i) above[i] = mass_ += tile_mass(records(i), row);
  }

  TileChoice choose(std::uint64_t bits) const {
    const std::uint64_t target = portion(bits, mass_);
    // Never beyond the last, even where merge was given sums that no measure makes.
    const std::int64_t tile = std::upper_bound(above_, above_ + tiles_ - 1, target) - above_;
    return {tile, target, tile > 0 ? above_[tile - 1] : 0, above_[tile]};
  }

 private:
  std::int64_t tiles_;
  const std::uint64_t* above_;
  std::uint64_t mass_ = 0;
};

}  // namespace logsum
