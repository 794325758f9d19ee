// SPDX-License-Identifier: Apache-2.0
// Rows of losses' batches: their log-probs by the formula, and random ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "support/loss_batch.hpp"

namespace logsum::test {

// log softmax(z/T) of a row, from the formula alone.
struct TextRow {
  std::vector<double> logps;
  double entropy = 0;

  TextRow(const std::vector<double>& z, double t) {
    const double max = *std::max_element(z.begin(), z.end());
    long double sum = 0, mean = 0;
    for (const double x : z) sum += std::exp((x - max) / t);
    const auto log_sum = static_cast<double>(std::log(sum));
    for (const double x : z) {
      logps.push_back((x - max) / t - log_sum);
      if (logps.back() > -700) mean -= std::exp(logps.back()) * logps.back();
    }
    entropy = static_cast<double>(mean);
  }
};

// Log-probs of the targets and entropies, as the text has them.
inline void text_of_rows(const LossBatch& p, std::vector<double>& logps, std::vector<double>& h) {
  logps.assign(p.rows(), 0);
  h.assign(p.rows(), 0);
  for (std::size_t i = 0; i < p.rows(); ++i) {
    if (!p.counts(i)) continue;
    const auto columns = static_cast<std::size_t>(p.vocab_size ? p.vocab_size : p.columns);
    const std::vector<double> z(p.logits[i].begin(),
                                p.logits[i].begin() + static_cast<std::ptrdiff_t>(columns));
    const TextRow row(z, static_cast<double>(p.temperature_of(i)));
    logps[i] = row.logps[static_cast<std::size_t>(p.targets[i])];
    h[i] = row.entropy;
  }
}

// Sequences of one length, with random logits and targets; returns what the next is drawn from.
inline std::mt19937 fill_rows(LossBatch& p, std::int64_t sequences, std::int64_t tokens,
                              std::int64_t columns, std::uint32_t seed, DType dtype) {
  p.sequences = sequences;
  p.tokens = tokens;
  p.columns = columns;
  p.dtype = dtype;
  const auto rows = static_cast<std::size_t>(sequences * tokens);
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < rows; ++i) {
    p.logits.push_back(gaussian(columns, seed * 1000 + static_cast<std::uint32_t>(i), 1.5f, 0));
    for (float& z : p.logits.back()) z = rounded_to(z, dtype);
    p.targets.push_back(random() % columns);
  }
  return random;
}

// Derivatives of loss(values) by each of them: a difference of fourth order.
template <class Loss>
std::vector<double> derivatives(const std::vector<double>& values, const Loss& loss) {
  std::vector<double> g(values.size());
  for (std::size_t i = 0; i < g.size(); ++i) {
    const auto at = [&](double by) {
      std::vector<double> moved = values;
      moved[i] += by;
      return loss(moved);
    };
    constexpr double kStep = 1e-3;
    g[i] = (8 * (at(kStep) - at(-kStep)) - (at(2 * kStep) - at(-2 * kStep))) / (12 * kStep);
  }
  return g;
}

// A gradient within `slack` of the truth, then rounded once.
inline ::testing::AssertionResult rounds_to(float got, double truth, double slack, DType dtype) {
  if (got >= rounded_to(static_cast<float>(truth - slack), dtype) &&
      got <= rounded_to(static_cast<float>(truth + slack), dtype))
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << got << " for " << truth << ", slack " << slack;
}

enum class MaskKind { none, some, with_empty_sequence };

inline void mask_some(LossBatch& p, MaskKind kind, std::mt19937& random) {
  if (kind == MaskKind::none) return;
  p.mask.assign(p.rows(), 1);
  for (std::size_t i = 0; i < p.rows(); ++i) {
    if (kind == MaskKind::with_empty_sequence && p.sequence_of(i) == 1) p.mask[i] = 0;
    if (random() % 4 == 0) p.mask[i] = 0;
    if (random() % 8 == 0) p.targets[i] = p.ignore_index;
  }
}

}  // namespace logsum::test
