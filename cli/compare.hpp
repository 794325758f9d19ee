// SPDX-License-Identifier: Apache-2.0
// The findings of logsum compare, and their three forms: text, JSON, a page of HTML.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compare_pairs.hpp"
#include "compare_stats.hpp"
#include "compare_verdict.hpp"
#include "table.hpp"

namespace logsum::cli {

// KL(rollout || trainer), of tokens that the rollout sampled.
struct KlEstimates {
  float k[3] = {};
  std::int64_t overflows = 0;  // tokens whose k3 is beyond f32
};

struct WeightsSummary {
  std::string mode;  // token_truncate, ...
  float mean = 0, clipped = 0, effective_sample_size = 0;
};

struct Comparison {
  Pairs pairs;
  CompareStats stats;
  KlEstimates kl;
  float clip_min = 0, clip_max = 0;
  std::vector<WeightsSummary> weights;
  Verdict verdict;
  std::int64_t worst = 0;  // how many tokens to list
};

// A heading with facts or a table under it, for people: the same in a terminal and on a page.
struct Section {
  std::string title;
  Facts facts;
  Table table;  // where there are no facts
};
std::vector<Section> sections_of(const Comparison& comparison);

nlohmann::ordered_json to_json(const Comparison& comparison);
std::string to_text(const Comparison& comparison, int width, bool colour);
std::string to_html(const Comparison& comparison);

// The first tokens that aren't finite, named; "" if all are.
std::string describe_not_finite(const Pairs& pairs);

// Pictures of the page, each an <svg> element.
std::string scatter_chart(const Comparison& comparison);
std::string histogram_chart(const Comparison& comparison);
std::string position_chart(const Comparison& comparison);

}  // namespace logsum::cli
