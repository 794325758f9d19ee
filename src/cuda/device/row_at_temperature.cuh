// SPDX-License-Identifier: Apache-2.0
// A row whose tiles are measured, at its temperature, by one warp: what softmax, log_softmax and
// logsumexp make their results of.
#pragma once

#include "core/row_exp.hpp"
#include "cuda/device/row.cuh"

namespace logsum::cuda {

template <class Kind>
struct RowAtTemperature {
  RowStatus status;
  RowMeasure measure;
  Temperature temperature;
  float weight = 0;  // of the maximum

  __device__ __forceinline__ RowAtTemperature(const RowsView& logits, const TileRecord* records,
                                              const Temperature& temperature_)
      : measure(join_records<Kind::kMoment>(records, static_cast<int>(tile_count(logits.columns)),
                                            logits.columns, status)),
        temperature(temperature_) {
    if (!is_valid_temperature(temperature.t)) status = RowStatus::bad_parameter;
    if (status != RowStatus::ok) return;
    weight = Kind::Exp::weight_of_max(measure, temperature);
  }

  // Of rows that are ok.
  __device__ __forceinline__ RowNorm norm() const { return {measure, temperature, weight}; }
  __device__ __forceinline__ RowExp exp() const {
    return RowExp::softmax(measure, temperature, weight);
  }
};

}  // namespace logsum::cuda
