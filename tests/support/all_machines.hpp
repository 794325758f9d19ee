// SPDX-License-Identifier: Apache-2.0
// Every way to run what promises the same bits everywhere: backends, SIMD targets and executors,
// some of which no host would write.
#pragma once

#include <vector>

#include "support/layouts.hpp"
#include "support/matrix.hpp"

namespace logsum::test {

inline std::vector<Context> all_machines() {
  static BackwardsExecutor seven(7), many(300);
  std::vector<Context> contexts = contract_contexts();
  for (Executor* executor : {&default_executor(), &inline_executor(),
                             static_cast<Executor*>(&seven), static_cast<Executor*>(&many)})
    contexts.push_back({.executor = executor});
  return contexts;
}

}  // namespace logsum::test
