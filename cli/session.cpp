// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <fmt/format.h>

#include "errors.hpp"
#include "io/file_error.hpp"
#include "numbers.hpp"

namespace logsum::cli {
namespace {

// Finds an available entry of backends() or simd_targets() by name.
template <class Infos>
auto parse_name(const char* option, const std::string& name, const Infos& infos) {
  std::string available;
  for (const auto& info : infos) {
    if (!info.available) continue;
    if (name == info.name) return info.id;
    available += available.empty() ? info.name : fmt::format(", {}", info.name);
  }
  throw UsageError(
      fmt::format("{} is {}, available here: {}", option, io::in_quotes(name), available));
}

}  // namespace

// A GPU is asked for by --device alone: which one belongs to it.
Backend parse_backend(const std::string& name) {
  const Backend backend = parse_name("--backend", name, backends());
  if (backend == Backend::cuda)
    throw UsageError(
        "--backend is \"cuda\", must be cpu or reference; for a GPU use --device cuda");
  return backend;
}

SimdTarget parse_simd(const std::string& name) {
  return parse_name("--simd", name, simd_targets());
}

SimdTarget chosen_simd(SimdTarget asked) {
  if (asked != SimdTarget::automatic) return asked;
  for (const SimdTargetInfo& info : simd_targets())
    if (info.available) return info.id;
  return asked;
}

Device parse_device(const std::string& name) {
  if (name == "cpu") return {};
  if (name == "cuda") return {DeviceType::cuda, 0};
  if (name.starts_with("cuda:"))
    return {DeviceType::cuda,
            static_cast<std::int32_t>(parse_i64("--device cuda:N", name.substr(5), 0, INT32_MAX))};
  throw UsageError(fmt::format("--device is {}, must be cpu, cuda or cuda:N", io::in_quotes(name)));
}

Determinism parse_determinism(const std::string& name) {
  if (name == "per-device") return Determinism::per_device;
  if (name == "cross-device") return Determinism::cross_device;
  throw UsageError(
      fmt::format("--determinism is {}, must be per-device or cross-device", io::in_quotes(name)));
}

Session::Session(const Globals& globals) : globals_(globals), executor_(globals.threads) {
  if (globals.device.type == DeviceType::cuda && globals.backend != Backend::automatic)
    throw UsageError("--backend is for --device cpu");
}

Context Session::context() {
  return {.executor = &executor_,
          .backend = globals_.backend,
          .simd = globals_.simd,
          .determinism = globals_.determinism,
          .stream = gpu() != nullptr ? gpu()->stream() : nullptr};
}

Gpu* Session::gpu() {
  if (globals_.device.type == DeviceType::cuda && !gpu_) gpu_ = open_gpu(globals_.device.index);
  return gpu_.get();
}

}  // namespace logsum::cli
