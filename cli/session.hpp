// SPDX-License-Identifier: Apache-2.0
// The global options, and the Context they make.
#pragma once

#include <string>

#include "logsum/context.hpp"
#include "threads.hpp"

namespace logsum::cli {

struct Globals {
  Backend backend = Backend::automatic;
  SimdTarget simd = SimdTarget::automatic;
  int threads = 0;  // 0: all of the machine's
  bool quiet = false;
};

// By the names that `logsum info` lists. Throw UsageError, also for a target that this machine or
// this build hasn't got.
Backend parse_backend(const std::string& name);
SimdTarget parse_simd(const std::string& name);

// The target that a CPU call will take.
SimdTarget chosen_simd(SimdTarget asked);

class Session {
 public:
  explicit Session(const Globals& globals) : globals_(globals), executor_(globals.threads) {}

  Executor& executor() { return executor_; }
  Context context() {
    return {.executor = &executor_, .backend = globals_.backend, .simd = globals_.simd};
  }
  bool quiet() const { return globals_.quiet; }

 private:
  Globals globals_;
  ThreadLimit executor_;
};

}  // namespace logsum::cli
