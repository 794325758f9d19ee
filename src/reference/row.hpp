// SPDX-License-Identifier: Apache-2.0
// The truth about a row, in float64, by the textbook: one plain sum each, in column order.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "core/rows.hpp"
#include "logsum/row_status.hpp"

namespace logsum::reference {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

inline double load(const void* p, DType dtype) {
  switch (dtype) {
    case DType::f32: return static_cast<double>(*static_cast<const float*>(p));
    case DType::bf16:
      return static_cast<double>(static_cast<float>(*static_cast<const BFloat16*>(p)));
    case DType::f16: return static_cast<double>(static_cast<float>(*static_cast<const Half*>(p)));
    default: return *static_cast<const double*>(p);
  }
}

inline std::vector<double> read_row(const RowsView& logits, std::int64_t row) {
  std::vector<double> z(static_cast<std::size_t>(logits.columns));
  for (std::int64_t i = 0; i < logits.columns; ++i)
    z[static_cast<std::size_t>(i)] = load(logits.column(row, i), logits.dtype);
  return z;
}

// softmax(z/T) of one row.
struct Distribution {
  RowStatus status = RowStatus::ok;
  double temperature = 1;
  double max = -kInf;
  std::int64_t argmax = -1;
  double log_sum = kNan;  // log Σ e^((z − max)/T)
  double lse = kNan;
  double entropy = kNan;

  Distribution(const std::vector<double>& z, double t) : temperature(t) {
    bool has_nan = false;
    for (std::size_t i = 0; i < z.size(); ++i) {
      has_nan |= std::isnan(z[i]);
      if (z[i] > max) {
        max = z[i];
        argmax = static_cast<std::int64_t>(i);
      }
    }
    if (has_nan)
      status = RowStatus::nan;
    else if (max == kInf)
      status = RowStatus::pos_inf;
    else if (max == -kInf)
      status = RowStatus::empty;
    if (status != RowStatus::ok) {
      argmax = -1;
      if (status == RowStatus::empty) lse = -kInf;
      return;
    }
    double sum = 0;
    double weighted = 0;
    for (double x : z) {
      const double d = (x - max) / t;
      const double e = std::exp(d);
      sum += e;
      if (e > 0) weighted += e * d;
    }
    log_sum = std::log(sum);
    lse = max / t + log_sum;
    entropy = log_sum - weighted / sum;
  }

  double logprob(double z) const {
    return status == RowStatus::ok ? (z - max) / temperature - log_sum : kNan;
  }
};

}  // namespace logsum::reference
