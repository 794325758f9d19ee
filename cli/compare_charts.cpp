// SPDX-License-Identifier: Apache-2.0
// The three pictures of logsum compare's page. Points are thinned by their order, not by chance:
// the same input draws the same picture.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compare.hpp"
#include "svg.hpp"

namespace logsum::cli {
namespace {

constexpr std::int64_t kMostPoints = 2000;
constexpr std::size_t kMostMarked = 100;
constexpr int kCells = 56;       // of the density, each way
constexpr int kLevels = 5;       // its shades
constexpr int kBins = 61;        // of the histogram: odd, so that one is about 0
constexpr int kPositions = 120;  // points of the line over positions
constexpr double kWidth = 560, kHeight = 400, kWide = 1140, kLow = 320;

double logp(const Pairs& pairs, int side, std::int64_t i) {
  return pairs.logps[side][static_cast<std::size_t>(i)];
}

// Both axes alike, so that equal log-probs lie on the diagonal.
Axis scatter_axis(const Pairs& pairs) {
  double low = INFINITY, high = -INFINITY;
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    for (const int side : {0, 1})
      if (pairs.is_counted(i)) {
        low = std::min(low, logp(pairs, side, i));
        high = std::max(high, logp(pairs, side, i));
      }
  const double pad = high > low ? (high - low) * 0.03 : std::max(0.5, std::abs(high) * 0.1);
  return {low - pad, high + pad, false, ""};
}

// Cells by how many tokens they hold, in shades of its logarithm; a path per shade.
void draw_density(Plot& plot, const Pairs& pairs) {
  std::vector<std::int64_t> counts(kCells * kCells);
  const double width = (plot.right() - plot.left()) / kCells;
  const double height = (plot.bottom() - plot.top()) / kCells;
  for (std::int64_t i = 0; i < pairs.size(); ++i) {
    if (!pairs.is_counted(i)) continue;
    const int column = static_cast<int>((plot.x(logp(pairs, 0, i)) - plot.left()) / width);
    const int row = static_cast<int>((plot.y(logp(pairs, 1, i)) - plot.top()) / height);
    ++counts[static_cast<std::size_t>(std::min(row, kCells - 1) * kCells +
                                      std::min(column, kCells - 1))];
  }
  const double most = std::log1p(static_cast<double>(*std::ranges::max_element(counts)));
  std::string shades[kLevels];
  for (int cell = 0; cell < kCells * kCells; ++cell) {
    const std::int64_t count = counts[static_cast<std::size_t>(cell)];
    if (count == 0) continue;
    const int level = static_cast<int>(std::log1p(static_cast<double>(count)) / most * kLevels);
    shades[std::min(level, kLevels - 1)] += fmt::format(
        "M{} {}h{:.2f}v{:.2f}h-{:.2f}z", coordinate(plot.left() + cell % kCells * width),
        coordinate(plot.top() + cell / kCells * height), width, height, width);
  }
  for (int level = 0; level < kLevels; ++level)
    plot.path(fmt::format("density d{}", level + 1), shades[level]);
}

// Where the histogram ends: the rest goes to its outermost bars.
double histogram_reach(const CompareStats& s) {
  // 0.1 % on either side may lie beyond.
  const double usual = std::max(std::abs(s.log_ratio[1]), std::abs(s.log_ratio[7]));
  double reach = usual * 1.25;
  if (reach == 0 || s.max_abs <= 2 * reach) reach = s.max_abs;
  if (reach == 0) reach = 1;
  // A band that isn't far off is worth the room.
  for (const Clipped& clipped : s.clipped)
    for (const double edge : {-std::log1p(-clipped.band.low), std::log1p(clipped.band.high)})
      if (edge <= 3 * usual) reach = std::max(reach, edge * 1.1);
  return reach;
}

std::string bar(const Plot& plot, double from, double to, std::int64_t count, double floor) {
  return fmt::format("M{} {}V{}H{}V{}z", coordinate(plot.x(from) + 0.5), coordinate(plot.y(floor)),
                     coordinate(plot.y(static_cast<double>(count))), coordinate(plot.x(to) - 0.5),
                     coordinate(plot.y(floor)));
}

}  // namespace

std::string scatter_chart(const Comparison& c) {
  const Pairs& pairs = c.pairs;
  Axis x = scatter_axis(pairs), y = x;
  x.title = "rollout log-prob (nats)";
  y.title = "trainer log-prob (nats)";
  const double low = x.low, high = x.high;
  Plot plot(kWidth, kHeight, x, y, "Trainer log-prob over rollout log-prob, a point per token");
  if (pairs.compared > kMostPoints) draw_density(plot, pairs);
  plot.line("diagonal", plot.x(low), plot.y(low), plot.x(high), plot.y(high));
  const std::int64_t every = (pairs.compared + kMostPoints - 1) / kMostPoints;
  std::string points;
  std::int64_t seen = 0;
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    if (pairs.is_counted(i) && seen++ % every == 0)
      points += fmt::format("M{} {}h0", coordinate(plot.x(logp(pairs, 0, i))),
                            coordinate(plot.y(logp(pairs, 1, i))));
  plot.path("points", points);
  for (std::size_t i = std::min(c.stats.worst.size(), kMostMarked); i-- > 0;) {
    const std::int64_t at = c.stats.worst[i];
    if (pairs.difference(at) == 0) continue;
    plot.dot("worst", plot.x(logp(pairs, 0, at)), plot.y(logp(pairs, 1, at)), 4,
             fmt::format("{}: rollout {}, trainer {}", row_name(pairs.shape, at),
                         number(logp(pairs, 0, at)), number(logp(pairs, 1, at))));
  }
  return plot.finish();
}

std::string histogram_chart(const Comparison& c) {
  const double reach = histogram_reach(c.stats);
  const double width = 2 * reach / kBins;
  std::vector<std::int64_t> counts(kBins);
  std::int64_t beyond[2] = {};
  for (std::int64_t i = 0; i < c.pairs.size(); ++i) {
    if (!c.pairs.is_counted(i)) continue;
    const double d = c.pairs.difference(i);
    if (std::abs(d) > reach)
      ++beyond[d > 0];
    else
      ++counts[std::min(static_cast<std::size_t>((d + reach) / width), counts.size() - 1)];
  }
  // The outermost bars are of what lies beyond, in a colour of their own.
  const std::int64_t most = std::max({*std::ranges::max_element(counts), beyond[0], beyond[1]});
  const double floor = 0.5;  // below one token, so that a bar of one shows
  const double edge = reach + 2.5 * width;
  Plot plot(kWidth, kHeight, {-edge, edge, false, "log-ratio, trainer \u2212 rollout (nats)"},
            {floor, std::max(10.0, 1.6 * static_cast<double>(most)), true, "tokens (log scale)"},
            "Histogram of the log-ratios");
  std::string bars, outside;
  for (int i = 0; i < kBins; ++i)
    if (const std::int64_t count = counts[static_cast<std::size_t>(i)]; count > 0)
      bars += bar(plot, -reach + i * width, -reach + (i + 1) * width, count, floor);
  for (const int side : {0, 1}) {
    if (beyond[side] == 0) continue;
    const double from = side == 0 ? -edge : reach + 0.5 * width;
    outside += bar(plot, from, from + 2 * width, beyond[side], floor);
    plot.text("note", side == 0 ? plot.left() + 4 : plot.right() - 4,
              plot.y(static_cast<double>(beyond[side])) - 6, side == 0 ? "start" : "end",
              fmt::format("{} beyond", beyond[side]));
  }
  plot.path("bars", bars);
  plot.path("outside", outside);
  double label = plot.top() + 10;
  std::vector<double> marked;
  for (const Clipped& clipped : c.stats.clipped) {
    const double edges[] = {std::log1p(-clipped.band.low), std::log1p(clipped.band.high)};
    for (const int side : {0, 1}) {
      const bool again = std::ranges::find(marked, edges[side]) != marked.end();
      if (again || !(std::abs(edges[side]) <= edge)) continue;
      marked.push_back(edges[side]);
      const double at = plot.x(edges[side]);
      plot.line("epsilon", at, plot.top(), at, plot.bottom());
      plot.text("mark", side == 0 ? at - 5 : at + 5, label, side == 0 ? "end" : "start",
                side == 0 ? fmt::format("1 \u2212 {:.6g}", clipped.band.low)
                          : fmt::format("1 + {:.6g}", clipped.band.high));
    }
    label += 16;
  }
  return plot.finish();
}

std::string position_chart(const Comparison& c) {
  const std::int64_t columns = c.pairs.columns();
  const std::int64_t per_bin = (columns + kPositions - 1) / kPositions;
  const auto bins = static_cast<std::size_t>((columns + per_bin - 1) / per_bin);
  std::vector<double> sums(bins);
  std::vector<std::int64_t> counts(bins);
  for (std::int64_t i = 0; i < c.pairs.size(); ++i) {
    if (!c.pairs.is_counted(i)) continue;
    const auto bin = static_cast<std::size_t>(i % columns / per_bin);
    sums[bin] += std::abs(c.pairs.difference(i));
    ++counts[bin];
  }
  double most = 0;
  for (std::size_t i = 0; i < bins; ++i)
    if (counts[i] > 0) most = std::max(most, sums[i] /= static_cast<double>(counts[i]));
  Plot plot(kWide, kLow,
            {0, static_cast<double>(columns), false, "position in the sequence (tokens)"},
            {0, most > 0 ? 1.08 * most : 1, false, "mean |difference| (nats)"},
            "Mean absolute difference by position in the sequence");
  // Steps, with gaps where nothing is compared.
  std::string steps, areas;
  for (std::size_t i = 0; i < bins; ++i) {
    if (counts[i] == 0) continue;
    const auto from = static_cast<double>(static_cast<std::int64_t>(i) * per_bin);
    const double to = std::min(from + static_cast<double>(per_bin), static_cast<double>(columns));
    const bool goes_on = i > 0 && counts[i - 1] > 0;
    steps += fmt::format("{}{} {}H{}", goes_on ? 'L' : 'M', coordinate(plot.x(from)),
                         coordinate(plot.y(sums[i])), coordinate(plot.x(to)));
    areas +=
        fmt::format("M{} {}V{}H{}V{}z", coordinate(plot.x(from)), coordinate(plot.bottom()),
                    coordinate(plot.y(sums[i])), coordinate(plot.x(to)), coordinate(plot.bottom()));
  }
  plot.path("area", areas);
  plot.path("line", steps);
  plot.line("epsilon", plot.left(), plot.y(c.stats.mean_abs), plot.right(),
            plot.y(c.stats.mean_abs));
  plot.text("mark", plot.right(), 15, "end",
            fmt::format("dashed: mean of all, {:.3g}", c.stats.mean_abs));
  return plot.finish();
}

}  // namespace logsum::cli
