// SPDX-License-Identifier: Apache-2.0
// importance_weights after validation, and what CPU and GPU kernels share: the weights of a range
// of tokens. `in_lanes` adds in the order of core/lane_sums.hpp.
#pragma once

#include "core/lane_sums.hpp"
#include "core/mean.hpp"
#include "core/portable_exp.hpp"
#include "core/rows.hpp"
#include "logsum/importance_weights.hpp"
#include "ops/sequences.hpp"

namespace logsum {

// Of tokens that count, or what one of them adds.
struct WeightSums {
  std::int64_t count = 0, clipped = 0;
  double weights = 0, squares = 0;

  LOGSUM_HOST_DEVICE void add(const WeightSums& other) {
    count += other.count;
    clipped += other.clipped;
    weights += other.weights;
    squares += other.squares;
  }
};

struct ImportanceWeight {
  float value;
  bool is_clipped;
};

struct ImportanceWeightsPlan {
  Sequences sequences;
  ElementsView old_logps, sampling_logps;                                    // [tokens]
  MaskView mask;                                                             // [tokens]
  ElementsView weights;                                                      // [tokens]
  ElementsView count, effective_sample_size, mean_weight, clipped_fraction;  // [1]
  ImportanceLevel level = ImportanceLevel::sequence;
  ImportanceMode mode = ImportanceMode::mask;
  float clip_min = 0, clip_max = 0;

  bool has_statistics() const {
    return count || effective_sample_size || mean_weight || clipped_fraction;
  }

  template <class InLanes>
  LOGSUM_HOST_DEVICE WeightSums write_range(std::int64_t i, const InLanes& in_lanes) const {
    const TokenRange range = sequences.range(i);
    const auto counts = [&](std::int64_t token) {
      return sequences.is_sequence(i) && mask.counts(token);
    };
    double of_sequence = 0;
    if (level == ImportanceLevel::sequence)
      of_sequence = in_lanes(range.size(), [&](std::int64_t t) {
                      const std::int64_t token = range.begin + t;
                      return counts(token) ? Sum{log_ratio(token)} : Sum();
                    }).value;
    const ImportanceWeight of_all = weight(of_sequence);
    return in_lanes(range.size(), [&](std::int64_t t) {
      const std::int64_t token = range.begin + t;
      if (!counts(token)) {
        weights.set(token, 1.0f);
        return WeightSums();
      }
      const ImportanceWeight w =
          level == ImportanceLevel::sequence ? of_all : weight(log_ratio(token));
      weights.set(token, w.value);
      const auto value = static_cast<double>(w.value);
      return WeightSums{1, w.is_clipped, value, value * value};
    });
  }

  LOGSUM_HOST_DEVICE void write_statistics(const WeightSums& sums) const {
    const double square = sums.weights * sums.weights;
    count.set_integer(0, 0, sums.count);
    effective_sample_size.set(0,
                              sums.squares == 0 ? 0.0f : static_cast<float>(square / sums.squares));
    mean_weight.set(0, mean_of(sums.weights, sums.count));
    clipped_fraction.set(0, mean_of(static_cast<double>(sums.clipped), sums.count));
  }

 private:
  // Equal infinities have no difference.
  LOGSUM_HOST_DEVICE double log_ratio(std::int64_t token) const {
    const double old = old_logps.real(token), sampling = sampling_logps.real(token);
    return old == sampling ? 0.0 : old - sampling;
  }

  // Rounding leaves neither bound: both are f32. NaN is within them.
  LOGSUM_HOST_DEVICE ImportanceWeight weight(double log_ratio) const {
    const double w = portable_exp(log_ratio);
    const bool is_above = w > static_cast<double>(clip_max);
    const bool is_below = w < static_cast<double>(clip_min);
    if (mode == ImportanceMode::none || !(is_above || is_below))
      return {static_cast<float>(w), false};
    if (mode == ImportanceMode::mask) return {0.0f, true};
    return {is_above ? clip_max : clip_min, true};
  }
};

}  // namespace logsum
