// SPDX-License-Identifier: Apache-2.0
// Context: where and how a call runs. Everything has a default; nothing but determinism
// changes a result's bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "logsum/executor.hpp"
#include "logsum/export.h"
#include "logsum/tensor.hpp"

namespace logsum {

// Backends are entries of a table: list them with backends(), force one with Context::backend.
enum class Backend : std::uint8_t { automatic, reference, cpu, cuda };

// What a result's bits depend on besides the row. per_device: the kind of device (CUDA takes its
// hardware's exponential). cross_device: nothing; CUDA gives the CPU's bits, for more instructions.
enum class Determinism : std::uint8_t { per_device, cross_device };

// SIMD targets of the CPU backend. `portable` has no SIMD and needs no FMA instruction; its bits
// are the same, its speed is not.
enum class SimdTarget : std::uint8_t { automatic, avx512, avx2, neon, portable };

// How rows are laid over a GPU: `automatic` decides by their number and length. Bits don't depend
// on it; tests and benchmarks force it. `rings` are for operations that write rows.
enum class Schedule : std::uint8_t { automatic, spans, clusters, rings };

constexpr const char* to_string(Schedule schedule) noexcept {
  switch (schedule) {
    case Schedule::automatic: return "automatic";
    case Schedule::spans: return "spans";
    case Schedule::clusters: return "clusters";
    case Schedule::rings: return "rings";
  }
  return "?";
}

// Scratch memory of the caller's, at least as large as the operation's *_workspace_size, apart from
// all tensors of the call, on their device. Without one the call allocates for its length (on a GPU
// from the stream's pool).
//
// On a GPU a workspace must be zero before its first use; every call leaves it fit for the next, of
// any operation and shape. Calls that may run at the same time need one each.
struct Workspace {
  void* data = nullptr;
  std::size_t size = 0;
};

struct Context {
  Workspace workspace = {};
  Executor* executor = nullptr;  // null: default_executor()
  Backend backend = Backend::automatic;
  SimdTarget simd = SimdTarget::automatic;
  Determinism determinism = Determinism::per_device;
  Schedule schedule = Schedule::automatic;
  void* stream = nullptr;  // CUDA: a cudaStream_t, on which all of a call's work is put
};

struct BackendInfo {
  Backend id;
  const char* name;
  const char* description;
  bool available;
};

struct SimdTargetInfo {
  SimdTarget id;
  const char* name;
  bool compiled;   // this build has code for it
  bool available;  // and this machine can run it
};

// All backends this build knows, in the order of preference.
LOGSUM_API std::span<const BackendInfo> backends() noexcept;

// All SIMD targets, fastest first; Context::simd = automatic takes the first that is available.
LOGSUM_API std::span<const SimdTargetInfo> simd_targets() noexcept;

}  // namespace logsum
