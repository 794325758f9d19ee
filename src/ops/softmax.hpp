// SPDX-License-Identifier: Apache-2.0
// softmax, log_softmax and their gradients after validation.
#pragma once

#include <cmath>
#include <limits>

#include "core/row_exp.hpp"
#include "core/rows.hpp"
#include "logsum/row_status.hpp"

namespace logsum {

struct SoftmaxPlan {
  RowsView logits, output;
  ElementsView row_status;  // [rows]
  PerRowView<float> temperature;
};

// What is kept of a row between measuring and writing it.
struct SoftmaxRow {
  RowStatus status;
  RowNorm norm;  // log_softmax
  RowExp exp;    // softmax
};

struct SoftmaxBackwardPlan {
  RowsView grad_output, output, grad_logits;
  ElementsView row_status;  // [rows]; an input
  PerRowView<float> temperature;

  enum class Row { computed, zero, nan };

  // What becomes of a row, as far as it is known before the row is read.
  LOGSUM_HOST_DEVICE Row row(std::int64_t row) const {
    if (!is_valid_temperature(temperature(row))) return Row::nan;
    if (!row_status) return Row::computed;
    switch (static_cast<RowStatus>(row_status.integer(row))) {
      case RowStatus::empty: return Row::zero;
      case RowStatus::nan:
      case RowStatus::pos_inf:
      case RowStatus::bad_parameter: return Row::nan;
      default: return Row::computed;
    }
  }

  // And once its sum is known.
  LOGSUM_HOST_DEVICE Row row(std::int64_t row, double sum) const {
    return with_sum(this->row(row), sum);
  }
  LOGSUM_HOST_DEVICE static Row with_sum(Row fate, double sum) {
    const bool is_finite = std::fabs(sum) <= static_cast<double>(std::numeric_limits<float>::max());
    return fate == Row::computed && !is_finite ? Row::nan : fate;
  }
};

}  // namespace logsum
