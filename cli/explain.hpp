// SPDX-License-Identifier: Apache-2.0
// logsum info --explain: how a call's rows would be laid over a GPU.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "logsum/devices.hpp"

namespace logsum::cli {

// ROWS,VOCAB,DTYPE; throws UsageError.
VisitedRows parse_rows(const std::string& text);

std::string explain_as_text(const DeviceInfo& device, const VisitedRows& rows,
                            Determinism determinism, int width, bool colour);
nlohmann::ordered_json explain_as_json(const DeviceInfo& device, const VisitedRows& rows,
                                       Determinism determinism);

}  // namespace logsum::cli
