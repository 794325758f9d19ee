// SPDX-License-Identifier: Apache-2.0
// A Loss for people and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "loss.hpp"

namespace logsum::cli {
namespace {

constexpr const char* kMetricNames[kPolicyMetrics] = {
    "token_count", "bad_count", "clip_low",   "clip_high", "clip_region",          "kl",
    "entropy",     "ratio_min", "ratio_mean", "ratio_max", "effective_sample_size"};

constexpr std::int64_t kWorst = 20;

// What makes a token bad: its status, then how far its ratio is from 1, or, without old log-probs,
// the size of its loss.
struct Badness {
  bool is_bad;
  double distance;
  friend auto operator<=>(const Badness&, const Badness&) = default;
};

Badness badness_of(const Loss& loss, std::int64_t row) {
  const auto at = static_cast<std::size_t>(row);
  if (status_of(*loss.row_status, row) != RowStatus::ok) return {true, 0};
  const float logp = loss.results.floats(*loss.logprob)[at];
  if (!loss.in.old)
    return {false, std::fabs(static_cast<double>(loss.results.floats(*loss.loss)[at]))};
  const float old = loss.in.old.values[at];
  return {false, logp == old ? 0 : std::fabs(static_cast<double>(logp) - static_cast<double>(old))};
}

// Without those that don't count.
std::vector<std::int64_t> worst_rows(const Loss& loss, std::int64_t count) {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < loss.results.rows(); ++row)
    if (status_of(*loss.row_status, row) != RowStatus::ignored) rows.push_back(row);
  const auto shown =
      static_cast<std::ptrdiff_t>(std::min(count, static_cast<std::int64_t>(rows.size())));
  std::partial_sort(rows.begin(), rows.begin() + shown, rows.end(),
                    [&](std::int64_t a, std::int64_t b) {
                      const Badness x = badness_of(loss, a), y = badness_of(loss, b);
                      return x > y || (x == y && a < b);
                    });
  rows.resize(static_cast<std::size_t>(shown));
  return rows;
}

nlohmann::ordered_json inputs_to_json(const LossInputs& in) {
  auto json = nlohmann::ordered_json::object();
  json["logits"] = in.logits.label;
  const auto add = [&](const char* name, const auto& given) {
    if (given) json[name] = given.label;
  };
  add("targets", in.targets);
  add("advantages", in.advantages);
  add("completion_mask", in.mask);
  add("old_per_token_logps", in.old);
  add("ref_per_token_logps", in.ref);
  add("sampling_per_token_logps", in.sampling);
  add("importance_weights", in.weights);
  add("entropy_mask", in.entropy_mask);
  add("cu_seqlens", in.cu_seqlens);
  return json;
}

Facts facts_of(const Loss& loss, const nlohmann::ordered_json& statuses) {
  using M = PolicyMetric;
  const auto value = [&](M m) { return number(loss.metric(m)); };
  const auto share = [&](M m) { return percent(loss.metric(m)); };
  const double scored = loss.metric(M::token_count) - loss.metric(M::bad_count);
  Facts facts;
  facts.add("logits",
            fmt::format("{}, {} {}", loss.in.logits.label, to_string(loss.in.logits.array.dtype),
                        io::shape_text(loss.in.logits.array.shape)));
  facts.add("objective", describe(loss.policy));
  facts.add("tokens", fmt::format("{}: {}, in {} sequence{}", loss.results.rows(),
                                  describe_statuses(statuses), loss.in.sequences,
                                  loss.in.sequences == 1 ? "" : "s"));
  facts.add("loss", number(loss.total));
  facts.add("clipped", fmt::format("{}: {} low, {} high", share(M::clip_region), share(M::clip_low),
                                   share(M::clip_high)));
  if (loss.in.ref) facts.add("mean KL", value(M::kl) + " nats");
  facts.add("mean entropy", value(M::entropy) + " nats");
  const double size = loss.metric(M::effective_sample_size);
  facts.add(
      "ratio",
      fmt::format("{} to {}, mean {}; effective sample size {}", value(M::ratio_min),
                  value(M::ratio_max), value(M::ratio_mean),
                  scored > 0 ? fmt::format("{:.1f} ({})", size, percent(size / scored)) : "0"));
  return facts;
}

}  // namespace

Summary summary_of(const Loss& loss, const LossOptions& options) {
  const auto statuses = count_statuses(*loss.row_status, loss.results.rows());
  Summary s;
  s.facts = facts_of(loss, statuses);
  s.json = {{"rows", loss.results.rows()},
            {"sequences", loss.in.sequences},
            {"loss", finite_or_null(loss.total)},
            {"metrics", nlohmann::ordered_json::object()}};
  for (int i = 0; i < kPolicyMetrics; ++i)
    s.json["metrics"][kMetricNames[i]] = finite_or_null(loss.metrics[i]);
  s.json["rows_by_status"] = statuses;
  s.json["worst"] = worst_rows(loss, options.worst.value_or(kWorst));
  s.json["inputs"] = inputs_to_json(loss.in);
  s.json["options"] = to_json(loss.policy);
  s.json["temperature"] = as_written(options.temperature);
  s.json["vocab_size"] = loss.columns;
  return s;
}

std::string to_text(const Loss& loss, const LossOptions& options, int width, bool colour) {
  std::string text = summary_of(loss, options).facts.to_text(width, colour);
  const std::int64_t rows = loss.results.rows();
  const bool shows_all = options.report.all || (!options.worst && rows <= kShownRows);
  // With --output the rows are in the file.
  if (rows == 0 || options.report.output || (!shows_all && options.worst == 0)) return text;
  std::vector<std::int64_t> shown(static_cast<std::size_t>(rows));
  std::iota(shown.begin(), shown.end(), 0);
  if (!shows_all) shown = worst_rows(loss, options.worst.value_or(kWorst));
  const std::string title =
      shows_all ? "Tokens"
                : fmt::format("The {} worst of {} tokens by {} (--all shows them)", shown.size(),
                              rows, loss.in.old ? "|log-ratio|" : "|loss|");
  return text + '\n' + styled(title, Style::bold, colour) + '\n' +
         to_text(rows_to_table(loss.results, shown), width, colour);
}

}  // namespace logsum::cli
