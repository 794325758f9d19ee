// SPDX-License-Identifier: Apache-2.0
#include "compare_stats.hpp"

#include <algorithm>
#include <cmath>

namespace logsum::cli {
namespace {

Quantiles quantiles_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  Quantiles quantiles;
  const auto n = static_cast<std::int64_t>(values.size());
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    const std::int64_t rank = (kQuantiles[i] * n + 999) / 1000;
    quantiles[i] = values[static_cast<std::size_t>(std::max<std::int64_t>(rank, 1) - 1)];
  }
  return quantiles;
}

Clipped count_clipped(const ClipBand& band, const std::vector<double>& log_ratios) {
  Clipped clipped{band};
  for (const double d : log_ratios) {
    const double ratio = std::exp(d);
    clipped.below += ratio < 1 - band.low;
    clipped.above += ratio > 1 + band.high;
  }
  return clipped;
}

// Calls body(tokens) with the counted tokens of each sequence that has some.
template <class Body>
void for_each_sequence(const Pairs& pairs, Body body) {
  std::vector<std::int64_t> tokens;
  for (std::int64_t row = 0; row < pairs.rows(); ++row) {
    tokens.clear();
    for (std::int64_t i = row * pairs.columns(); i < (row + 1) * pairs.columns(); ++i)
      if (pairs.is_counted(i)) tokens.push_back(i);
    if (!tokens.empty()) body(tokens);
  }
}

double correlation_of(const Pairs& pairs) {
  double means[2] = {};
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    for (const int side : {0, 1})
      if (pairs.is_counted(i)) means[side] += pairs.logps[side][static_cast<std::size_t>(i)];
  for (double& mean : means) mean /= static_cast<double>(pairs.compared);
  double xx = 0, yy = 0, xy = 0;
  for (std::int64_t i = 0; i < pairs.size(); ++i) {
    if (!pairs.is_counted(i)) continue;
    const double x = pairs.logps[0][static_cast<std::size_t>(i)] - means[0];
    const double y = pairs.logps[1][static_cast<std::size_t>(i)] - means[1];
    xx += x * x;
    yy += y * y;
    xy += x * y;
  }
  if (xx == 0 || yy == 0) return std::nan("");
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

// About the largest ratio, so that nothing overflows which needn't.
void add_ratios(const std::vector<double>& log_ratios, CompareStats& s) {
  const double largest = s.log_ratio.back();
  double sum = 0, squares = 0;
  for (const double d : log_ratios) {
    const double ratio = std::exp(d - largest);
    sum += ratio;
    squares += ratio * ratio;
  }
  s.mean_ratio = std::exp(largest + std::log(sum / static_cast<double>(log_ratios.size())));
  s.effective_sample_size = sum * sum / squares;
}

void add_sequences(const Pairs& pairs, CompareStats& s) {
  std::vector<double> means;
  double first = 0, last = 0;
  for_each_sequence(pairs, [&](const std::vector<std::int64_t>& tokens) {
    double sum = 0;
    for (const std::int64_t i : tokens) sum += pairs.difference(i);
    means.push_back(sum / static_cast<double>(tokens.size()));
    const std::size_t quarter = tokens.size() / 4;
    for (std::size_t i = 0; i < quarter; ++i) {
      first += std::abs(pairs.difference(tokens[i]));
      last += std::abs(pairs.difference(tokens[tokens.size() - quarter + i]));
    }
    s.quarter_tokens += static_cast<std::int64_t>(quarter);
  });
  if (s.quarter_tokens > 0) {
    s.first_quarter = first / static_cast<double>(s.quarter_tokens);
    s.last_quarter = last / static_cast<double>(s.quarter_tokens);
  }
  if (pairs.shape.size() < 2) return;
  s.sequences.emplace();
  s.sequences->count = static_cast<std::int64_t>(means.size());
  s.sequences->mean_log_ratio = quantiles_of(means);
  s.sequences->gspo = count_clipped(kGspoBand, means);
}

std::vector<std::int64_t> worst_tokens(const Pairs& pairs, std::int64_t most) {
  std::vector<std::int64_t> order;
  order.reserve(static_cast<std::size_t>(pairs.compared));
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    if (pairs.is_counted(i)) order.push_back(i);
  const auto end = order.begin() + std::min(most, pairs.compared);
  std::partial_sort(order.begin(), end, order.end(), [&](std::int64_t a, std::int64_t b) {
    const double x = std::abs(pairs.difference(a)), y = std::abs(pairs.difference(b));
    return x != y ? x > y : a < b;
  });
  order.erase(end, order.end());
  return order;
}

}  // namespace

CompareStats compare_stats(const Pairs& pairs, const std::vector<ClipBand>& bands,
                           std::int64_t worst) {
  CompareStats s;
  std::vector<double> log_ratios;
  log_ratios.reserve(static_cast<std::size_t>(pairs.compared));
  for (std::int64_t i = 0; i < pairs.size(); ++i) {
    if (!pairs.is_counted(i)) continue;
    const double d = pairs.difference(i);
    log_ratios.push_back(d);
    s.mean += d;
    s.mean_abs += std::abs(d);
    s.identical += d == 0;
  }
  s.mean /= static_cast<double>(pairs.compared);
  s.mean_abs /= static_cast<double>(pairs.compared);
  s.log_ratio = quantiles_of(log_ratios);
  s.correlation = correlation_of(pairs);
  add_ratios(log_ratios, s);
  for (const ClipBand& band : bands) s.clipped.push_back(count_clipped(band, log_ratios));
  add_sequences(pairs, s);
  s.worst = worst_tokens(pairs, std::max<std::int64_t>(worst, 1));
  s.max_abs = std::abs(pairs.difference(s.worst.front()));
  return s;
}

}  // namespace logsum::cli
