// SPDX-License-Identifier: Apache-2.0
// logsumexp and its gradient after validation.
#pragma once

#include <cmath>

#include "core/measure.hpp"
#include "core/rows.hpp"

namespace logsum {

struct LogsumexpPlan {
  RowsView logits;
  ElementsView lse, row_status;  // [rows]
  PerRowView<float> temperature;
};

struct LogsumexpBackwardPlan {
  RowsView logits, grad_logits;
  ElementsView grad_output, lse;  // [rows]
  PerRowView<float> temperature;

  enum class Row { computed, zero, nan };

  // What becomes of a row before its logits are read.
  LOGSUM_HOST_DEVICE Row row(std::int64_t row) const {
    const double normaliser = lse.real(row);
    if (!is_valid_temperature(temperature(row)) || !std::isfinite(grad_output.real(row)))
      return Row::nan;
    if (std::isfinite(normaliser)) return Row::computed;
    return normaliser < 0 ? Row::zero : Row::nan;
  }
};

}  // namespace logsum
