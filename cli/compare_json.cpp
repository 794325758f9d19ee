// SPDX-License-Identifier: Apache-2.0
// A Comparison as JSON.
#include <cmath>

#include "compare.hpp"
#include "report.hpp"

namespace logsum::cli {
namespace {

using Json = nlohmann::ordered_json;

Json position(const Pairs& pairs, std::int64_t at) {
  if (pairs.shape.size() < 2) return {{"token", at}};
  return {{"sequence", at / pairs.columns()}, {"token", at % pairs.columns()}};
}

Json not_finite(const Pairs& pairs) {
  constexpr std::size_t kListed = 100;
  Json json = {{"tokens", pairs.left_out}, {"first", Json::array()}};
  for (std::size_t i = 0; i < std::min(pairs.not_finite.size(), kListed); ++i) {
    const NotFinite& bad = pairs.not_finite[i];
    Json entry = position(pairs, bad.at);
    entry["array"] = bad.side == 0 ? "rollout" : "trainer";
    entry["value"] = std::isfinite(bad.value) ? Json(bad.value) : Json(short_number(bad.value));
    json["first"].push_back(entry);
  }
  return json;
}

Json quantiles(const Quantiles& values) {
  Json json = Json::object();
  for (std::size_t i = 0; i < values.size(); ++i)
    json[kQuantileNames[i]] = finite_or_null(values[i]);
  return json;
}

Json clipped(const Clipped& c, std::int64_t total) {
  return {{"low", c.band.low},
          {"high", c.band.high},
          {"below", c.below},
          {"above", c.above},
          {"share", static_cast<double>(c.below + c.above) / static_cast<double>(total)}};
}

Json weights(const Comparison& c) {
  Json modes = Json::object();
  for (const WeightsSummary& w : c.weights)
    modes[w.mode] = {
        {"mean_weight", finite_or_null(static_cast<double>(w.mean))},
        {"clipped_share", finite_or_null(static_cast<double>(w.clipped))},
        {"effective_sample_size", finite_or_null(static_cast<double>(w.effective_sample_size))}};
  return {
      {"clip_min", as_written(c.clip_min)}, {"clip_max", as_written(c.clip_max)}, {"modes", modes}};
}

Json worst(const Comparison& c) {
  Json list = Json::array();
  for (const std::int64_t at : c.stats.worst) {
    if (static_cast<std::int64_t>(list.size()) == c.worst) break;
    const auto i = static_cast<std::size_t>(at);
    Json entry = position(c.pairs, at);
    if (!c.pairs.tokens.empty()) entry["token_id"] = c.pairs.tokens[i];
    entry["rollout"] = c.pairs.logps[0][i];
    entry["trainer"] = c.pairs.logps[1][i];
    entry["difference"] = c.pairs.difference(at);
    entry["ratio"] = finite_or_null(std::exp(c.pairs.difference(at)));
    list.push_back(entry);
  }
  return list;
}

}  // namespace

Json to_json(const Comparison& c) {
  const Pairs& p = c.pairs;
  const CompareStats& s = c.stats;
  Json json;
  for (const int side : {0, 1})
    json[side == 0 ? "rollout" : "trainer"] = {{"input", p.labels[side]},
                                               {"dtype", to_string(p.dtypes[side])}};
  json["shape"] = p.shape;
  json["tokens"] = p.size();
  json["compared"] = p.compared;
  json["masked"] = p.masked;
  json["not_finite"] = not_finite(p);
  json["verdict"] = {{"kind", to_string(c.verdict.kind)},
                     {"text", one_line(c.verdict)},
                     {"reasons", Json::array()}};
  for (const Reason& reason : c.verdict.reasons)
    json["verdict"]["reasons"].push_back({{"rule", reason.rule}, {"text", reason.text}});
  json["difference"] = {{"mean_abs", s.mean_abs},
                        {"max_abs", s.max_abs},
                        {"max_at", position(p, s.worst.front())},
                        {"mean", s.mean},
                        {"identical", s.identical},
                        {"correlation", finite_or_null(s.correlation)},
                        {"first_quarter", s.quarter_tokens > 0 ? Json(s.first_quarter) : Json()},
                        {"last_quarter", s.quarter_tokens > 0 ? Json(s.last_quarter) : Json()}};
  for (const float& k : c.kl.k)
    json["kl_rollout_trainer"]["k" + std::to_string(&k - c.kl.k + 1)] =
        finite_or_null(static_cast<double>(k));
  json["kl_rollout_trainer"]["k3_overflows"] = c.kl.overflows;
  Quantiles ratio = s.log_ratio;
  for (double& x : ratio) x = std::exp(x);
  json["ratio"] = {{"mean", finite_or_null(s.mean_ratio)},
                   {"effective_sample_size", finite_or_null(s.effective_sample_size)},
                   {"quantiles", quantiles(ratio)}};
  json["log_ratio"] = {{"quantiles", quantiles(s.log_ratio)}};
  json["clipped"] = Json::array();
  for (const Clipped& band : s.clipped) json["clipped"].push_back(clipped(band, p.compared));
  json["sequences"] = nullptr;
  if (s.sequences)
    json["sequences"] = {{"count", s.sequences->count},
                         {"mean_log_ratio", quantiles(s.sequences->mean_log_ratio)},
                         {"gspo", clipped(s.sequences->gspo, s.sequences->count)}};
  json["importance_weights"] = weights(c);
  json["worst"] = worst(c);
  return json;
}

}  // namespace logsum::cli
