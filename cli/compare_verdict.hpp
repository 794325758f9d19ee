// SPDX-License-Identifier: Apache-2.0
// What the numbers of logsum compare come to: one of four words, and the patterns that were found.
// Each rule and its threshold stand in docs/compare.md.
#pragma once

#include <string>
#include <vector>

#include "compare_stats.hpp"

namespace logsum::cli {

struct Reason {
  const char* rule;
  std::string text;
};

enum class VerdictKind { identical, rounding, small, mismatch };
const char* to_string(VerdictKind kind);

struct Verdict {
  VerdictKind kind = VerdictKind::mismatch;
  std::string text;  // the kind, with what it is judged by
  std::vector<Reason> reasons;
};

Verdict judge(const Pairs& pairs, const CompareStats& stats);

// "text; reason; reason"
std::string one_line(const Verdict& verdict);

}  // namespace logsum::cli
