// SPDX-License-Identifier: Apache-2.0
// The operations that logsum bench times, with room for their outputs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench_logits.hpp"
#include "logsum/context.hpp"

namespace logsum::cli {

struct BenchOperation {
  std::string name;
  std::int64_t rows;  // how many rows it works on
  bool reads_once;    // each row, and writes none: the limit applies
  bool is_threaded;
  std::function<void(const Context&)> run;
  std::function<void()> prepare = {};  // optional: once before it is timed
};

// They keep what they need alive, but for the logits.
std::vector<BenchOperation> bench_operations(const BenchLogits& z);

}  // namespace logsum::cli
