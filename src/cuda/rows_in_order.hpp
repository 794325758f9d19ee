// SPDX-License-Identifier: Apache-2.0
// Calls whose output row i is made of logits row i; see device/tile_of_row.cuh.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace logsum::cuda {

struct RowsInOrder {
  LOGSUM_HOST_DEVICE static bool looks_up_rows() { return false; }
  LOGSUM_HOST_DEVICE static std::int64_t logits_row(std::int64_t row) { return row; }
};

}  // namespace logsum::cuda
