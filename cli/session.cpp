// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <fmt/format.h>

#include "errors.hpp"
#include "io/file_error.hpp"

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

Backend parse_backend(const std::string& name) { return parse_name("--backend", name, backends()); }

SimdTarget parse_simd(const std::string& name) {
  return parse_name("--simd", name, simd_targets());
}

SimdTarget chosen_simd(SimdTarget asked) {
  if (asked != SimdTarget::automatic) return asked;
  for (const SimdTargetInfo& info : simd_targets())
    if (info.available) return info.id;
  return asked;
}

}  // namespace logsum::cli
