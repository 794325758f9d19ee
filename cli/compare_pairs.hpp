// SPDX-License-Identifier: Apache-2.0
// What logsum compare is given: two log-probs of each token, and which of the tokens count.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "input.hpp"

namespace logsum::cli {

struct PairsOptions {
  std::string rollout, trainer;
  std::optional<std::string> rollout_name, trainer_name, mask, tokens;
};

// A log-prob that is no number, by where it stands: 0 the rollout's, 1 the trainer's.
struct NotFinite {
  int side;
  std::int64_t at;
  double value;
};

struct Pairs {
  std::string labels[2];  // rollout, trainer
  DType dtypes[2];
  std::vector<std::int64_t> shape;  // [T], one sequence, or [B, T]
  std::vector<double> logps[2];
  std::vector<std::uint8_t> counts;  // 1: neither masked nor not finite
  std::vector<std::int64_t> tokens;  // their ids; empty: not given
  std::int64_t masked = 0, compared = 0;
  std::int64_t left_out = 0;          // not finite on either side
  std::vector<NotFinite> not_finite;  // both sides of a token may be
  std::int64_t above_zero = 0;        // counted tokens with a log-prob above kAboveZero

  std::int64_t size() const { return static_cast<std::int64_t>(counts.size()); }
  std::int64_t columns() const { return shape.back(); }
  std::int64_t rows() const { return shape.size() == 2 ? shape[0] : 1; }
  double difference(std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i);
    return logps[1][at] - logps[0][at];
  }
  bool is_counted(std::int64_t i) const { return counts[static_cast<std::size_t>(i)] != 0; }
};

// Rounding takes a log-prob of 0 no further.
inline constexpr double kAboveZero = 1e-3;

// Throws UsageError, DataError or FileError. Values beyond f32, which is what the library's
// operations take, are not finite.
Pairs read_pairs(const PairsOptions& options);

// "nan", "inf", "-inf" or the number, and where: "trainer 3,17 is nan".
std::string describe(const Pairs& pairs, const NotFinite& bad);

}  // namespace logsum::cli
