// SPDX-License-Identifier: Apache-2.0
// The GPUs of this machine, for `logsum info`; and by the name of a kind, for machines without.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "logsum/devices.hpp"
#include "table.hpp"

namespace logsum::cli {

nlohmann::ordered_json cuda_to_json();
void add_cuda(Facts& facts);

// "13.0" for 13000.
std::string cuda_version(int version);

// "NVIDIA H200: compute capability 9.0, 132 SMs, 140 GB"
std::string describe(const DeviceInfo& device);

// What a GPU of the kind has; throws UsageError, which lists the kinds.
DeviceInfo gpu_like(const std::string& kind);

// The GPU, or a UsageError that begins with `option` and says what is missing.
DeviceInfo gpu_at(std::int32_t index, const std::string& option);

}  // namespace logsum::cli
