// SPDX-License-Identifier: Apache-2.0
// The global options, and the Context they make.
#pragma once

#include <memory>
#include <string>

#include "gpu.hpp"
#include "logsum/context.hpp"
#include "threads.hpp"

namespace logsum::cli {

struct Globals {
  Device device;
  Determinism determinism = Determinism::per_device;
  Backend backend = Backend::automatic;
  SimdTarget simd = SimdTarget::automatic;
  int threads = 0;  // 0: all of the machine's
  bool quiet = false;
};

// By the names that `logsum info` lists. Throw UsageError, also for a target that this machine or
// this build hasn't got.
Backend parse_backend(const std::string& name);
SimdTarget parse_simd(const std::string& name);

// cpu, cuda, cuda:N; a GPU is looked for when it is needed.
Device parse_device(const std::string& name);
Determinism parse_determinism(const std::string& name);

// The target that a CPU call will take.
SimdTarget chosen_simd(SimdTarget asked);

class Session {
 public:
  // Throws UsageError where the options contradict each other.
  explicit Session(const Globals& globals);

  Executor& executor() { return executor_; }
  Context context();
  // Null: the session computes on the CPU.
  Gpu* gpu();
  bool quiet() const { return globals_.quiet; }

 private:
  Globals globals_;
  ThreadLimit executor_;
  std::unique_ptr<Gpu> gpu_;
};

}  // namespace logsum::cli
