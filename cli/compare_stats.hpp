// SPDX-License-Identifier: Apache-2.0
// The numbers of logsum compare that are not an operation of the library's, in float64.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "compare_pairs.hpp"
#include "numbers.hpp"

namespace logsum::cli {

// Of one thousand. The quantile q of n values is the smallest of them with at least q·n at or below
// it (NumPy's "inverted_cdf"): a value that occurs, whatever monotone function is applied.
inline constexpr std::array kQuantiles = {0, 1, 10, 50, 500, 950, 990, 999, 1000};
inline constexpr const char* kQuantileNames[] = {"min",  "0.1 %", "1 %",    "5 %", "50 %",
                                                 "95 %", "99 %",  "99.9 %", "max"};
using Quantiles = std::array<double, kQuantiles.size()>;

struct Clipped {
  ClipBand band;
  std::int64_t below = 0, above = 0;  // ratios < 1 - low, > 1 + high
};

// GSPO's clip range, of the sequence's ratio e^(mean log-ratio).
inline constexpr ClipBand kGspoBand = {3e-4, 4e-4};

struct SequenceStats {
  std::int64_t count = 0;    // sequences with a counted token
  Quantiles mean_log_ratio;  // over the sequence's tokens
  Clipped gspo{kGspoBand};
};

struct CompareStats {
  double mean_abs = 0, max_abs = 0, mean = 0;  // of trainer - rollout
  std::int64_t identical = 0;
  double correlation = 0;  // NaN where either side is constant
  Quantiles log_ratio{};
  double mean_ratio = 0, effective_sample_size = 0;
  std::vector<Clipped> clipped;
  std::optional<SequenceStats> sequences;  // where there are two dimensions
  // Mean |difference| over the first and the last quarter of each sequence's counted tokens, and
  // the tokens there are in either.
  double first_quarter = 0, last_quarter = 0;
  std::int64_t quarter_tokens = 0;
  std::vector<std::int64_t> worst;  // by |difference|, the first of equals first; at least one
};

CompareStats compare_stats(const Pairs& pairs, const std::vector<ClipBand>& bands,
                           std::int64_t worst);

}  // namespace logsum::cli
