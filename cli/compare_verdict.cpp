// SPDX-License-Identifier: Apache-2.0
#include "compare_verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "table.hpp"

namespace logsum::cli {
namespace {

// See docs/compare.md, which says the same in words.
constexpr double kSmallEss = 0.99, kSmallClipped = 0.001;  // shares of the tokens
constexpr double kMostlyRounding = 0.95;
constexpr double kGrows = 2;
constexpr std::int64_t kEnoughTokens = 32;
constexpr double kFew = 0.1, kMostOfIt = 0.5;  // sequences; shares of the sum of |differences|
constexpr std::int64_t kEnoughSequences = 10, kEnoughForPercent = 1000;
constexpr double kOneSided = 0.5;
constexpr double kShifted = 0.1;

double share(std::int64_t count, std::int64_t total) {
  return static_cast<double>(count) / static_cast<double>(total);
}

// A format whose rounding may be all there is: the values of a side are numbers of it.
struct Grid {
  const char* name;
  int digits;       // of the significand
  double smallest;  // step
  bool (*holds)(float);
};
constexpr Grid kGrids[] = {
    {"bf16", 8, 0x1p-133, [](float x) { return static_cast<float>(BFloat16(x)) == x; }},
    {"f16", 11, 0x1p-24, [](float x) { return static_cast<float>(Half(x)) == x; }},
};

bool all_on(const Pairs& pairs, int side, const Grid& grid) {
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    if (const double x = pairs.logps[side][static_cast<std::size_t>(i)];
        pairs.is_counted(i) &&
        (static_cast<double>(static_cast<float>(x)) != x || !grid.holds(static_cast<float>(x))))
      return false;
  return true;
}

double larger(const Pairs& pairs, std::int64_t i) {
  const auto at = static_cast<std::size_t>(i);
  return std::max(std::abs(pairs.logps[0][at]), std::abs(pairs.logps[1][at]));
}

std::int64_t count_within(const Pairs& pairs, const std::function<double(double)>& limit) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    count += pairs.is_counted(i) && std::abs(pairs.difference(i)) <= limit(larger(pairs, i));
  return count;
}

struct Rounding {
  std::string of, limit;
  std::int64_t tokens = 0;  // whose difference it explains
};

// The format that explains most; the first of equals.
Rounding find_rounding(const Pairs& pairs) {
  Rounding best{"f32", "4e-6 + 2^-22 |x|",
                count_within(pairs, [](double x) { return 4e-6 + 0x1p-22 * x; })};
  for (const Grid& grid : kGrids) {
    const bool on[] = {all_on(pairs, 0, grid), all_on(pairs, 1, grid)};
    if (!on[0] && !on[1]) continue;
    // Two rounded values may be a whole step apart, a rounded and an exact one half of it.
    const double steps = on[0] && on[1] ? 1 : 0.5;
    const std::int64_t tokens = count_within(pairs, [&](double x) {
      return x == 0 ? 0
                    : steps *
                          std::max(std::ldexp(1.0, std::ilogb(x) + 1 - grid.digits), grid.smallest);
    });
    if (tokens <= best.tokens) continue;
    best = {fmt::format("{} ({})", grid.name,
                        on[0] && on[1] ? "both sides are on its grid"
                        : on[0]        ? "rollout is on its grid"
                                       : "trainer is on its grid"),
            steps == 1 ? fmt::format("one {} step", grid.name)
                       : fmt::format("half a {} step", grid.name),
            tokens};
  }
  return best;
}

void judge_size(const Pairs& pairs, const CompareStats& s, Verdict& v) {
  if (s.identical == pairs.compared) {
    v.kind = VerdictKind::identical;
    v.text = fmt::format("identical: all {} tokens have the same log-prob", pairs.compared);
    return;
  }
  const Rounding rounding = find_rounding(pairs);
  if (rounding.tokens == pairs.compared) {
    v.kind = VerdictKind::rounding;
    v.text =
        fmt::format("rounding of {}: every difference is within {}", rounding.of, rounding.limit);
    return;
  }
  const Clipped& clipped = s.clipped.front();
  const double outside = share(clipped.below + clipped.above, pairs.compared);
  const double ess = s.effective_sample_size / static_cast<double>(pairs.compared);
  v.kind =
      ess >= kSmallEss && outside <= kSmallClipped ? VerdictKind::small : VerdictKind::mismatch;
  v.text = fmt::format("{}: effective sample size {}, {} of the ratios clipped", to_string(v.kind),
                       percent(ess), percent(outside));
  if (share(rounding.tokens, pairs.compared) >= kMostlyRounding)
    v.reasons.push_back(
        {"mostly_rounding",
         fmt::format("{} of {} differences are rounding of {}, within {}, and {} are "
                     "more",
                     rounding.tokens, pairs.compared, rounding.of, rounding.limit,
                     pairs.compared - rounding.tokens)});
}

// One token earlier or later the two agree.
void find_shift(const Pairs& pairs, const CompareStats& s, Verdict& v) {
  for (const int shift : {1, -1}) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < pairs.size(); ++i) {
      const std::int64_t column = i % pairs.columns() + shift;
      if (column < 0 || column >= pairs.columns()) continue;
      if (!pairs.is_counted(i) || !pairs.is_counted(i + shift)) continue;
      sum += std::abs(pairs.logps[1][static_cast<std::size_t>(i + shift)] -
                      pairs.logps[0][static_cast<std::size_t>(i)]);
      ++count;
    }
    if (count < kEnoughTokens || sum / static_cast<double>(count) > kShifted * s.mean_abs) continue;
    v.reasons.push_back(
        {"shifted", fmt::format("shifted by one token: trainer t {} 1 against rollout t has mean "
                                "|difference| {}",
                                shift > 0 ? "+" : "-", number(sum / static_cast<double>(count)))});
  }
}

void find_trend(const CompareStats& s, Verdict& v) {
  if (s.quarter_tokens < kEnoughTokens) return;
  const bool grows = s.last_quarter >= kGrows * s.first_quarter;
  if (!grows && s.first_quarter < kGrows * s.last_quarter) return;
  v.reasons.push_back(
      {grows ? "grows" : "falls",
       fmt::format("{} along the sequence: mean |difference| {} in the first quarter, {} in the "
                   "last",
                   grows ? "grows" : "falls", number(s.first_quarter), number(s.last_quarter))});
}

void find_few_sequences(const Pairs& pairs, const CompareStats& s, Verdict& v) {
  if (!s.sequences || s.sequences->count < kEnoughSequences) return;
  struct Sequence {
    double sum = 0;
    std::int64_t tokens = 0;
  };
  std::vector<Sequence> sequences(static_cast<std::size_t>(pairs.rows()));
  for (std::int64_t i = 0; i < pairs.size(); ++i) {
    if (!pairs.is_counted(i)) continue;
    Sequence& sequence = sequences[static_cast<std::size_t>(i / pairs.columns())];
    sequence.sum += std::abs(pairs.difference(i));
    ++sequence.tokens;
  }
  std::vector<std::int64_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return sequences[static_cast<std::size_t>(a)].sum > sequences[static_cast<std::size_t>(b)].sum;
  });
  const auto few =
      static_cast<std::size_t>(std::ceil(kFew * static_cast<double>(s.sequences->count)));
  Sequence total;
  for (std::size_t i = 0; i < few; ++i) {
    total.sum += sequences[static_cast<std::size_t>(order[i])].sum;
    total.tokens += sequences[static_cast<std::size_t>(order[i])].tokens;
  }
  const double held = total.sum / (s.mean_abs * static_cast<double>(pairs.compared));
  const double tokens = share(total.tokens, pairs.compared);
  if (held < kMostOfIt || held < 2 * tokens) return;
  v.reasons.push_back(
      {"few_sequences",
       fmt::format("{} of {} sequences ({} above all) hold {} of all |difference| with {} of the "
                   "tokens",
                   few, s.sequences->count, order.front(), percent(held), percent(tokens))});
}

void find_few_tokens(const Pairs& pairs, const CompareStats& s, Verdict& v) {
  if (pairs.compared < kEnoughForPercent) return;
  std::vector<double> sizes;
  for (std::int64_t i = 0; i < pairs.size(); ++i)
    if (pairs.is_counted(i)) sizes.push_back(std::abs(pairs.difference(i)));
  const auto few = static_cast<std::ptrdiff_t>((sizes.size() + 99) / 100);
  std::nth_element(sizes.begin(), sizes.begin() + few, sizes.end(), std::greater<>());
  std::sort(sizes.begin(), sizes.begin() + few);  // one order, so one sum everywhere
  const double held = std::accumulate(sizes.begin(), sizes.begin() + few, 0.0) /
                      (s.mean_abs * static_cast<double>(pairs.compared));
  if (held >= kMostOfIt)
    v.reasons.push_back(
        {"few_tokens", fmt::format("the worst 1 % of the tokens, {}, hold {} of all |difference|",
                                   few, percent(held))});
}

void find_bias(const Pairs& pairs, const CompareStats& s, Verdict& v) {
  if (pairs.compared < kEnoughTokens || std::abs(s.mean) < kOneSided * s.mean_abs) return;
  v.reasons.push_back(
      {"one_sided", fmt::format("one-sided: the trainer's log-probs are {}, on average by {}",
                                s.mean < 0 ? "lower" : "higher", number(std::abs(s.mean)))});
}

}  // namespace

const char* to_string(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::identical: return "identical";
    case VerdictKind::rounding: return "rounding";
    case VerdictKind::small: return "small mismatch";
    case VerdictKind::mismatch: return "mismatch";
  }
  return "?";
}

Verdict judge(const Pairs& pairs, const CompareStats& stats) {
  Verdict verdict;
  judge_size(pairs, stats, verdict);
  if (pairs.above_zero > 0)
    verdict.reasons.push_back(
        {"above_zero",
         fmt::format("{} tokens have a log-prob above 0, which none can be", pairs.above_zero)});
  if (verdict.kind != VerdictKind::small && verdict.kind != VerdictKind::mismatch) return verdict;
  find_shift(pairs, stats, verdict);
  find_trend(stats, verdict);
  find_few_sequences(pairs, stats, verdict);
  find_few_tokens(pairs, stats, verdict);
  find_bias(pairs, stats, verdict);
  return verdict;
}

std::string one_line(const Verdict& verdict) {
  std::string text = verdict.text;
  for (const Reason& reason : verdict.reasons) text += "; " + reason.text;
  return text;
}

}  // namespace logsum::cli
