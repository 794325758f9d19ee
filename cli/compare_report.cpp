// SPDX-License-Identifier: Apache-2.0
// A Comparison for people: the sections that a terminal and a page show.
#include <fmt/format.h>

#include <cmath>

#include "compare.hpp"

namespace logsum::cli {
namespace {

std::string counted(std::int64_t count, std::int64_t total) {
  return fmt::format("{} ({})", count,
                     percent(static_cast<double>(count) / static_cast<double>(total)));
}

std::string effective(double size, std::int64_t tokens) {
  return std::isfinite(size)
             ? fmt::format("{:.1f} ({})", size, percent(size / static_cast<double>(tokens)))
             : short_number(size);
}

Facts inputs(const Comparison& c) {
  const Pairs& p = c.pairs;
  Facts facts;
  for (const int side : {0, 1})
    facts.add(side == 0 ? "rollout" : "trainer",
              fmt::format("{}, {} {}", p.labels[side], to_string(p.dtypes[side]),
                          io::shape_text(p.shape)));
  facts.add("tokens", fmt::format("{}: {} compared, {} masked, {} not finite", p.size(), p.compared,
                                  p.masked, p.left_out));
  if (p.left_out > 0) facts.add("not finite", describe_not_finite(p));
  facts.add("verdict", one_line(c.verdict));
  return facts;
}

Facts differences(const Comparison& c) {
  const CompareStats& s = c.stats;
  const std::int64_t n = c.pairs.compared;
  Facts facts;
  facts.add("mean |difference|", number(s.mean_abs));
  facts.add("max |difference|",
            fmt::format("{} at {}", number(s.max_abs), row_name(c.pairs.shape, s.worst.front())));
  facts.add("mean difference", number(s.mean));
  facts.add("identical", counted(s.identical, n));
  facts.add("correlation",
            std::isnan(s.correlation) ? "none: a side is constant" : number(s.correlation));
  std::string kl;
  for (const float& k : c.kl.k)
    kl += fmt::format("{}k{} {}", kl.empty() ? "" : ", ", &k - c.kl.k + 1,
                      number(static_cast<double>(k)));
  kl += " nats";
  if (c.kl.overflows > 0) kl += fmt::format("; k3 is beyond f32 in {}", c.kl.overflows);
  facts.add("KL(rollout || trainer)", kl);
  facts.add("mean ratio", number(s.mean_ratio));
  facts.add("effective sample size", effective(s.effective_sample_size, n));
  return facts;
}

Table quantiles(const CompareStats& s) {
  std::vector<std::vector<std::string>> lines;
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    lines.push_back({kQuantileNames[i], number(std::exp(s.log_ratio[i])), number(s.log_ratio[i])});
    if (s.sequences) lines.back().push_back(number(s.sequences->mean_log_ratio[i]));
  }
  return s.sequences ? table_of({"", "ratio", "log-ratio", "sequence mean log-ratio"}, 1, lines)
                     : table_of({"", "ratio", "log-ratio"}, 1, lines);
}

Table clipping(const Comparison& c) {
  std::vector<std::vector<std::string>> lines;
  const auto add = [&](const Clipped& clipped, const char* of, std::int64_t total) {
    lines.push_back({fmt::format("[{:.6g}, {:.6g}]", 1 - clipped.band.low, 1 + clipped.band.high),
                     of, counted(clipped.below, total), counted(clipped.above, total),
                     counted(clipped.below + clipped.above, total)});
  };
  for (const Clipped& clipped : c.stats.clipped) add(clipped, "tokens", c.pairs.compared);
  if (c.stats.sequences) add(c.stats.sequences->gspo, "sequences (GSPO)", c.stats.sequences->count);
  return table_of({"band", "of", "below", "above", "outside"}, 5, lines);
}

Table weights(const Comparison& c) {
  std::vector<std::vector<std::string>> lines;
  for (const WeightsSummary& w : c.weights)
    lines.push_back({w.mode, number(static_cast<double>(w.mean)),
                     percent(static_cast<double>(w.clipped)),
                     effective(static_cast<double>(w.effective_sample_size), c.pairs.compared)});
  Table table = table_of({"mode", "mean weight", "clipped", "effective sample size"}, 1, lines);
  table.columns.back().is_text = true;
  return table;
}

Table worst(const Comparison& c) {
  const Pairs& p = c.pairs;
  const bool ids = !p.tokens.empty();
  std::vector<std::vector<std::string>> lines;
  for (std::size_t i = 0;
       i < std::min<std::size_t>(c.stats.worst.size(), static_cast<std::size_t>(c.worst)); ++i) {
    const std::int64_t at = c.stats.worst[i];
    const auto index = static_cast<std::size_t>(at);
    lines.push_back({row_name(p.shape, at)});
    if (ids) lines.back().push_back(fmt::format("{}", p.tokens[index]));
    for (const double x :
         {p.logps[0][index], p.logps[1][index], p.difference(at), std::exp(p.difference(at))})
      lines.back().push_back(number(x));
  }
  return ids ? table_of({"position", "token id", "rollout", "trainer", "difference", "ratio"}, 1,
                        lines)
             : table_of({"position", "rollout", "trainer", "difference", "ratio"}, 1, lines);
}

}  // namespace

std::string describe_not_finite(const Pairs& pairs) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(pairs.not_finite.size(), kShown); ++i)
    text += (i > 0 ? ", " : "") + describe(pairs, pairs.not_finite[i]);
  if (pairs.not_finite.size() > kShown)
    text += fmt::format(" and {} more", pairs.not_finite.size() - kShown);
  return text;
}

std::vector<Section> sections_of(const Comparison& c) {
  std::vector<Section> sections = {
      {"", inputs(c), {}},
      {"Differences, trainer - rollout", differences(c), {}},
      {"Quantiles of ratio = exp(trainer - rollout)", {}, quantiles(c.stats)},
      {"Ratios outside a clip band", {}, clipping(c)},
      {fmt::format("Importance weights, clipped to [{:.6g}, {:.6g}]", c.clip_min, c.clip_max),
       {},
       weights(c)}};
  if (c.worst > 0)
    sections.push_back(
        {c.pairs.shape.size() == 2 ? "Worst tokens, by sequence,token" : "Worst tokens",
         {},
         worst(c)});
  return sections;
}

std::string to_text(const Comparison& comparison, int width, bool colour) {
  std::string text;
  for (const Section& section : sections_of(comparison)) {
    if (!section.title.empty()) text += '\n' + styled(section.title, Style::bold, colour) + '\n';
    text += section.facts.lines().empty() ? to_text(section.table, width, colour)
                                          : section.facts.to_text(width, colour);
  }
  return text;
}

}  // namespace logsum::cli
