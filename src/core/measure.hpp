// SPDX-License-Identifier: Apache-2.0
// The arithmetic of docs/design/tile_tree.md that isn't per element: constants, a tile's record,
// the join of records into a row, and what a row's numbers become (lse, log-probs, entropy). Shared
// by all kernels, so that every level adds the same way.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/host_device.hpp"
#include "logsum/measure.hpp"

namespace logsum {

inline constexpr int kLanes = 256;
inline constexpr int kChunkRows = 4;
inline constexpr int kChunk = kLanes * kChunkRows;
inline constexpr int kTileChunks = 4;
inline constexpr int kTile = kChunk * kTileChunks;
static_assert(kTile == kTileColumns);

inline constexpr int kFloor = 64;  // binades below a chunk's maximum at which weights are clamped
inline constexpr int kDrop =
    52;  // a chunk this many binades below its tile's reference adds nothing
inline constexpr int kBias = 101;  // weights carry 2^101 within a tile; 127 + bias must be even
inline constexpr double kFarReference = 0x1p21;

// Within these, logits · log2(e)/T and the clamp below a chunk's maximum stay finite.
inline constexpr float kMinTemperature = 0x1p-64f;
inline constexpr float kMaxTemperature = 0x1p64f;

// Coefficients of the polynomial, from the top. A function, as device code can't see an array here.
constexpr float poly(int i) {
  constexpr float kPoly[] = {0x1.5bcceap-10f, 0x1.3cee56p-7f, 0x1.c6b70ep-5f,
                             0x1.ebf9bp-3f,   0x1.62e42ap-1f, 1.0f};
  return kPoly[i];
}
inline constexpr double kLn2 = 0x1.62e42fefa39efp-1;
inline constexpr double kLog2e = 0x1.71547652b82fep+0;
inline constexpr float kNegInf = -std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr std::int64_t tile_count(std::int64_t columns) {
  return columns / kTile + (columns % kTile != 0);
}

// A temperature in the forms the formulas use.
struct Temperature {
  double c64 = 0.0;  // log2(e)/T,
  float t = 1.0f;
  float c = 0.0f;          // rounded
  float inverse_c = 0.0f;  // only to place the clamp
  float two_over_t = 2.0f;

  LOGSUM_HOST_DEVICE Temperature() : Temperature(1.0f) {}
  LOGSUM_HOST_DEVICE explicit Temperature(float temperature)
      : c64(kLog2e / static_cast<double>(temperature)),
        t(temperature),
        c(static_cast<float>(c64)),
        inverse_c(1.0f / c),
        two_over_t(2.0f / temperature) {}
};

LOGSUM_HOST_DEVICE inline bool is_valid_temperature(float t) {
  return t >= kMinTemperature && t <= kMaxTemperature;
}

// 2^d for a d ≤ 0 that is an integer; 0 beyond kDrop.
LOGSUM_HOST_DEVICE inline float drop_factor(double d) {
  return d < -kDrop
             ? 0.0f
             : std::bit_cast<float>(static_cast<std::uint32_t>(127 + static_cast<int>(d)) << 23);
}

// What is known of a row whose records are joined.
struct RowMeasure {
  float max = kNegInf;
  std::int64_t max_tile = -1;  // the first tile that holds max
  double n = 0;
  int mass_shift = 0;      // masses are in units of 2^-mass_shift
  std::uint64_t mass = 0;  // Σ of the tiles' masses; 0: the row is empty
  std::int64_t moment = 0;
  bool poisoned = false;  // a NaN or +∞ somewhere
};

// Units for the integer masses of a row of `columns`: their sum stays below 2^62.
LOGSUM_HOST_DEVICE inline int mass_shift(std::int64_t columns) {
#ifdef __CUDA_ARCH__  // where std::bit_width compiles, and returns something else
  return 61 - (64 - __clzll(columns - 1));
#else
  return 61 - static_cast<int>(std::bit_width(static_cast<std::uint64_t>(columns - 1)));
#endif
}

// trunc(x · 2^e), e ≤ 62; exact where e ≥ 0 and x is an f32. Records may come from elsewhere: what
// no row can hold becomes some number, never undefined behaviour.
LOGSUM_HOST_DEVICE inline std::int64_t scaled_integer(double x, double e) {
  if (!(e >= -120)) return 0;
  const double scaled =
      x * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + static_cast<int>(e)) << 52);
  return std::abs(scaled) < 0x1p63 ? static_cast<std::int64_t>(scaled) : 0;
}

LOGSUM_HOST_DEVICE inline std::uint64_t tile_mass(const TileRecord& tile, const RowMeasure& row) {
  if (!(tile.sum > 0)) return 0;
  return static_cast<std::uint64_t>(scaled_integer(tile.sum, tile.n - row.n + row.mass_shift));
}

LOGSUM_HOST_DEVICE inline std::int64_t tile_moment(const TileRecord& tile, const RowMeasure& row) {
  if (!(tile.sum > 0)) return 0;
  const double lower = row.n - tile.n;
  const double moment =
      std::fma(lower, static_cast<double>(tile.sum), static_cast<double>(tile.moment));
  return scaled_integer(moment, row.mass_shift - 7 - lower);
}

// Joins the records of a row's tiles, records(0), records(1), … in the order of their columns: the
// one `merge` of the library.
template <class Records>
LOGSUM_HOST_DEVICE RowMeasure join(const Records& records, std::int64_t count,
                                   std::int64_t columns) {
  RowMeasure row;
  row.mass_shift = mass_shift(columns);
  bool live = false;
  for (std::int64_t i = 0; i < count; ++i) {
    const TileRecord tile = records(i);
    row.poisoned |= tile.sum != tile.sum;
    if (tile.max > row.max) {
      row.max = tile.max + 0.0f;  // −0 becomes +0: vectors keep either
      row.max_tile = i;
    }
    if (tile.sum > 0 && (!live || tile.n > row.n)) {
      row.n = tile.n;
      live = true;
    }
  }
  std::uint64_t moment = 0;  // unsigned: records from elsewhere may overflow it
  for (std::int64_t i = 0; i < count; ++i) {
    const TileRecord tile = records(i);
    row.mass += tile_mass(tile, row);
    moment += static_cast<std::uint64_t>(tile_moment(tile, row));
  }
  row.moment = static_cast<std::int64_t>(moment);
  return row;
}

// Records one behind the other.
struct RecordArray {
  const TileRecord* records;

  LOGSUM_HOST_DEVICE const TileRecord& operator()(std::int64_t i) const { return records[i]; }
};

// The natural logarithm of a finite x ≥ 1: 2·atanh series in s = (m − 1)/(m + 1), |s| ≤ 0.172, with
// IEEE operations only, so that every machine returns the same bits (libm's differ). Error below
// 1e-15 relative.
LOGSUM_HOST_DEVICE inline double portable_log(double x) {
  auto bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double q = s * s;
  double series = 0.0;
  for (int k = 21; k >= 3; k -= 2) series = std::fma(series, q, 1.0 / k);
  return std::fma(exponent, kLn2, std::fma(2.0 * s * q, series, 2.0 * s));
}

// 2^f of the polynomial, f in [−½, ½].
LOGSUM_HOST_DEVICE inline float exp2_fraction(float f) {
  float p = poly(0);
  for (int i = 1; i < 6; ++i) p = std::fma(p, f, poly(i));
  return p;
}

// 2^(t − n) of a row's maximum.
LOGSUM_HOST_DEVICE inline float weight_of_max(const RowMeasure& row,
                                              const Temperature& temperature) {
  const double t = static_cast<double>(row.max) * static_cast<double>(temperature.c);
  return exp2_fraction(static_cast<float>(t - row.n));
}

// S / w_m: the row's mass over its largest logit's weight, made as it was summed, so that the
// error of its exponential cancels where one token holds the mass. At least 1; exactly 1 for a
// one-hot row.
LOGSUM_HOST_DEVICE inline double mass_over_largest(const RowMeasure& row, float weight) {
  const double scale =
      std::bit_cast<double>(static_cast<std::uint64_t>(1023 + row.mass_shift) << 52);
  return static_cast<double>(row.mass) / (static_cast<double>(weight) * scale);
}

// The three numbers that turn a logit into its log-prob, and the row's own results.
struct RowNorm {
  float half_max = 0;    // m/2
  float two_over_t = 0;  // 2/T
  float log_ratio = 0;   // L = ln(S / w_m)
  double log_ratio64 = 0;

  RowNorm() = default;
  LOGSUM_HOST_DEVICE RowNorm(float half_maximum, float two_over_temperature, float log_of_ratio)
      : half_max(half_maximum), two_over_t(two_over_temperature), log_ratio(log_of_ratio) {}
  LOGSUM_HOST_DEVICE RowNorm(const RowMeasure& row, const Temperature& temperature)
      : RowNorm(row, temperature, weight_of_max(row, temperature)) {}
  // `weight`: of the maximum alone, as it was summed.
  LOGSUM_HOST_DEVICE RowNorm(const RowMeasure& row, const Temperature& temperature, float weight)
      : half_max(0.5f * row.max),
        two_over_t(temperature.two_over_t),
        log_ratio64(portable_log(mass_over_largest(row, weight))) {
    log_ratio = static_cast<float>(log_ratio64);
  }

  // log p of a logit of this row.
  LOGSUM_HOST_DEVICE float logprob(float z) const {
    return std::fma(std::fma(z, 0.5f, -half_max), two_over_t, 0.0f - log_ratio);  // never −0
  }
};

LOGSUM_HOST_DEVICE inline float row_lse(const RowMeasure& row, const RowNorm& norm,
                                        const Temperature& temperature) {
  return static_cast<float>(static_cast<double>(row.max) / temperature.t + norm.log_ratio64);
}

LOGSUM_HOST_DEVICE inline float row_entropy(const RowMeasure& row, const RowNorm& norm,
                                            const Temperature& temperature) {
  const double t = static_cast<double>(row.max) * static_cast<double>(temperature.c);
  const double mean = static_cast<double>(row.moment) * 128.0 / static_cast<double>(row.mass);
  const double entropy = norm.log_ratio64 + kLn2 * (mean + (t - row.n));
  return entropy > 0 ? static_cast<float>(entropy) : 0.0f;
}

}  // namespace logsum
