// SPDX-License-Identifier: Apache-2.0
// Rows of a loss's batch that can't be scored.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "logsum/row_status.hpp"
#include "support/rows.hpp"

namespace logsum::test {

// What is wrong with a row, its status, and its gradient.
template <class Batch>
struct SickToken {
  std::string name;
  std::function<void(Batch&, std::size_t row)> infect;
  RowStatus status;
  float gradient;
};

template <class Batch>
std::vector<SickToken<Batch>> sick_logits_and_targets() {
  std::vector<SickToken<Batch>> all;
  for (const SickRow& sick : sick_rows()) {
    const bool is_empty = sick.name == "empty", is_inf = sick.name.rfind("pos_inf", 0) == 0;
    const bool has_nan = sick.name == "pos_inf_and_nan";
    all.push_back({sick.name, [=](Batch& p, std::size_t row) { sick.infect(p.logits[row]); },
                   is_empty             ? RowStatus::empty
                   : is_inf && !has_nan ? RowStatus::pos_inf
                                        : RowStatus::nan,
                   is_empty ? 0.0f : kNaN});
  }
  for (const std::int64_t target : {std::int64_t{-1}, std::int64_t{300}, INT64_MIN, INT64_MAX})
    all.push_back({"target " + std::to_string(target),
                   [=](Batch& p, std::size_t row) { p.targets[row] = target; },
                   RowStatus::bad_target, 0});
  return all;
}

// And where temperatures are of tokens.
template <class Batch>
std::vector<SickToken<Batch>> sick_tokens() {
  std::vector<SickToken<Batch>> all = sick_logits_and_targets<Batch>();
  for (const float t : {0.0f, -1.0f, kNaN, kInf, 0x1p-65f, 0x1p65f})
    all.push_back({"temperature " + std::to_string(t),
                   [=](Batch& p, std::size_t row) { p.temperatures[row] = t; },
                   RowStatus::bad_parameter, kNaN});
  return all;
}

}  // namespace logsum::test
