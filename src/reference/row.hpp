// SPDX-License-Identifier: Apache-2.0
// The truth about a row, in float64, by the textbook: one plain sum each, in column order.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "core/measure.hpp"
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

inline void store(void* p, DType dtype, double value) {
  const auto rounded = static_cast<float>(value);
  switch (dtype) {
    case DType::bf16: *static_cast<BFloat16*>(p) = BFloat16(rounded); return;
    case DType::f16: *static_cast<Half*>(p) = Half(rounded); return;
    default: *static_cast<float*>(p) = rounded;
  }
}

// Writes value(i) to each column i of a row.
template <class Value>
void write_row(const RowsView& view, std::int64_t row, const Value& value) {
  for (std::int64_t i = 0; i < view.columns; ++i)
    store(view.column(row, i), view.dtype, value(static_cast<std::size_t>(i)));
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

// A row at its temperature; none where that is out of range.
inline Distribution distribution_of(const std::vector<double>& z, float temperature) {
  if (is_valid_temperature(temperature)) return Distribution(z, temperature);
  Distribution none({kNan}, 1);
  none.status = RowStatus::bad_parameter;
  return none;
}

}  // namespace logsum::reference
