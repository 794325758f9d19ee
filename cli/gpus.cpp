// SPDX-License-Identifier: Apache-2.0
#include "gpus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "errors.hpp"
#include "io/file_error.hpp"

namespace logsum::cli {
namespace {

struct Kind {
  const char* name;
  int capability, multiprocessors, shared_kilobytes;  // a block's
  int clusters[DeviceInfo::kClusterSizes];
};

// Clusters as an H200 says; of a B200 as few as its eight groups of processors have room for.
constexpr Kind kKinds[] = {{"t4", 75, 40, 64, {}},
                           {"a100", 80, 108, 163, {}},
                           {"l40s", 89, 142, 99, {}},
                           {"h100", 90, 132, 227, {132, 66, 30, 15, 7}},
                           {"h200", 90, 132, 227, {132, 66, 30, 15, 7}},
                           {"b200", 100, 148, 227, {148, 72, 32, 16, 8}}};

std::string capability(const DeviceInfo& device) {
  return fmt::format("{}.{}", device.capability / 10, device.capability % 10);
}

// The first GPU's, as without one there is no other reason.
std::string what_is_missing() {
  DeviceInfo ignored;
  return cuda_device(0, ignored).message();
}

template <class F>
void for_each_gpu(const CudaInfo& cuda, const F& f) {
  for (std::int32_t i = 0; i < cuda.device_count; ++i) {
    DeviceInfo device;
    if (cuda_device(i, device).ok()) f(i, device);
  }
}

}  // namespace

std::string cuda_version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string describe(const DeviceInfo& device) {
  std::string text = fmt::format("{}: compute capability {}, {} SMs", device.name,
                                 capability(device), device.multiprocessors);
  if (device.memory_bytes > 0)
    text += fmt::format(", {:.0f} GB", static_cast<double>(device.memory_bytes) / 1e9);
  return text;
}

nlohmann::ordered_json cuda_to_json() {
  const CudaInfo cuda = cuda_info();
  const auto version = [](int v) {
    return v > 0 ? nlohmann::ordered_json(cuda_version(v)) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json json = {{"compiled", cuda.compiled},
                                 {"runtime", version(cuda.runtime)},
                                 {"driver", version(cuda.driver)},
                                 {"gpus", nlohmann::ordered_json::array()}};
  for_each_gpu(cuda, [&](std::int32_t index, const DeviceInfo& device) {
    json["gpus"].push_back({{"index", index},
                            {"name", device.name},
                            {"compute_capability", capability(device)},
                            {"multiprocessors", device.multiprocessors},
                            {"shared_bytes_per_block", device.shared_bytes_per_block},
                            {"l2_bytes", device.l2_bytes},
                            {"memory_bytes", device.memory_bytes}});
  });
  if (json["gpus"].empty()) json["missing"] = what_is_missing();
  return json;
}

void add_cuda(Facts& facts) {
  const CudaInfo cuda = cuda_info();
  if (cuda.compiled)
    facts.add("CUDA", fmt::format("built with {}, {}", cuda_version(cuda.runtime),
                                  cuda.driver > 0 ? "driver for " + cuda_version(cuda.driver)
                                                  : std::string("no driver")));
  bool any = false;
  for_each_gpu(cuda, [&](std::int32_t index, const DeviceInfo& device) {
    facts.add(any ? "" : "GPUs", fmt::format("{:<10} {}", index, describe(device)));
    any = true;
  });
  if (!any) facts.add("GPUs", "none: " + what_is_missing());
}

DeviceInfo gpu_like(const std::string& name) {
  std::string names;
  for (const Kind& kind : kKinds) {
    if (name == kind.name) {
      DeviceInfo device;
      std::snprintf(device.name, sizeof device.name, "%s", kind.name);
      device.capability = kind.capability;
      device.multiprocessors = kind.multiprocessors;
      device.shared_bytes_per_block = kind.shared_kilobytes * 1024;
      std::copy(std::begin(kind.clusters), std::end(kind.clusters), device.clusters);
      return device;
    }
    names += fmt::format("{}{}", names.empty() ? "" : ", ", kind.name);
  }
  throw UsageError(fmt::format("--like is {}, must be one of {}", io::in_quotes(name), names));
}

DeviceInfo gpu_at(std::int32_t index, const std::string& option) {
  DeviceInfo device;
  if (const Status status = cuda_device(index, device); !status.ok())
    throw UsageError(option + ": " + status.message());
  return device;
}

}  // namespace logsum::cli
