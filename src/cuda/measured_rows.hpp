// SPDX-License-Identifier: Apache-2.0
// Rows along any dimension, measured and joined in one launch: what softmax, log_softmax and
// logsumexp begin with. One kernel serves all three, as there is one for every dtype, exponential
// and layout.
#pragma once

#include "cuda/device_views.hpp"
#include "logsum/context.hpp"
#include "ops/softmax.hpp"

namespace logsum::cuda {

struct MeasuredRowsCall {
  enum View { kLse, kRowStatus, kOutputs, kTemperature = kOutputs, kViews };
  enum class Kept { nothing, norm, exp };  // of a SoftmaxRow, beside the status

  RowsView logits;
  float scalar_temperature;
  Kept kept = Kept::nothing;
  SoftmaxRow* rows = nullptr;
  DeviceViews<kViews> views;

  MeasuredRowsCall(const RowsView& logits_, const PerRowView<float>& temperature,
                   const ElementsView& row_status, const ElementsView& lse = {})
      : logits(logits_), scalar_temperature(temperature.value) {
    views.set(kLse, lse);
    views.set(kRowStatus, row_status);
    views.set(kTemperature, temperature.tensor);
  }

  LOGSUM_HOST_DEVICE bool has_row_temperatures() const { return views.has(kTemperature); }
  LOGSUM_HOST_DEVICE float temperature(std::int64_t row) const {
    return views.has(kTemperature) ? static_cast<float>(views.place(kTemperature, row).real())
                                   : scalar_temperature;
  }
  LOGSUM_HOST_DEVICE static bool looks_up_rows() { return false; }
  LOGSUM_HOST_DEVICE std::int64_t logits_row(std::int64_t row) const { return row; }
};

Status measure_rows(const MeasuredRowsCall& call, const Context& context);

}  // namespace logsum::cuda
