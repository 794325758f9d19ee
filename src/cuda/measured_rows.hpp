// SPDX-License-Identifier: Apache-2.0
// Rows along any dimension, measured and joined in one launch: what softmax, log_softmax and
// logsumexp begin with. One kernel serves all three, as there is one for every dtype, exponential
// and layout.
#pragma once

#include "cuda/rows_in_order.hpp"
#include "logsum/context.hpp"
#include "ops/softmax.hpp"

namespace logsum::cuda {

struct MeasuredRowsCall : RowsInOrder {
  enum Output { kLse, kRowStatus, kOutputs };
  enum class Kept { nothing, norm, exp };  // of a SoftmaxRow, beside the status

  RowsView logits;
  PerRowView<float> temperature;
  ElementsView outputs[kOutputs];
  Kept kept = Kept::nothing;
  SoftmaxRow* rows = nullptr;

  MeasuredRowsCall(const RowsView& logits_, const PerRowView<float>& temperature_,
                   const ElementsView& row_status, const ElementsView& lse = {})
      : logits(logits_), temperature(temperature_), outputs{lse, row_status} {}
};

Status measure_rows(const MeasuredRowsCall& call, const Context& context);

}  // namespace logsum::cuda
