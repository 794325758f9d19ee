// SPDX-License-Identifier: Apache-2.0
#include "doctor_row.hpp"

#include <algorithm>
#include <cmath>

namespace logsum::cli {
namespace {

template <class Storage>
struct Rounding {
  float operator()(float x) const { return static_cast<float>(Storage(x)); }
};
template <>
struct Rounding<float> {
  float operator()(float x) const { return x; }
};

template <class T>
std::vector<float> load(const Tensor& logits, std::int64_t row, std::int64_t columns) {
  const T* from = static_cast<const T*>(logits.data) + row * logits.strides[0];
  std::vector<float> z(static_cast<std::size_t>(columns));
  std::transform(from, from + columns, z.begin(), [](T x) { return static_cast<float>(x); });
  return z;
}

void look(const std::vector<float>& z, RowFindings& row) {
  row.max = -INFINITY;
  row.min = INFINITY;
  for (const float x : z) {
    row.nan += std::isnan(x);
    row.pos_inf += x == INFINITY;
    row.neg_inf += x == -INFINITY;
    if (!std::isfinite(x)) continue;
    row.ties = x > row.max ? 1 : row.ties + (x == row.max);
    row.max = std::max(row.max, x);
    row.min = std::min(row.min, x);
  }
  row.status = row.nan > 0            ? RowStatus::nan
               : row.pos_inf > 0      ? RowStatus::pos_inf
               : row.max == -INFINITY ? RowStatus::empty
                                      : RowStatus::ok;
  std::size_t start = z.size() - 1;
  while (start > 0 && z[start - 1] == z.back()) --start;
  row.run_start = static_cast<std::int64_t>(start);
  row.run_value = z.back();
}

// Scores each column's result against the float64 truth.
template <class Result>
FormulaFindings compare(const std::vector<float>& z, double max, double log_sum,
                        const Result& result) {
  FormulaFindings findings;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (z[i] == -INFINITY) continue;
    const Worst here{-1, static_cast<std::int64_t>(i), z[i], result(i),
                     static_cast<double>(z[i]) - max - log_sum};
    findings.bad_columns += !here.is_finite();
    if (findings.worst.column < 0 || here.is_worse_than(findings.worst)) findings.worst = here;
  }
  return findings;
}

template <class Storage>
RowFindings::Arithmetic examine_in(const std::vector<float>& z, double log_sum, double max) {
  const Rounding<Storage> round;
  RowFindings::Arithmetic found;
  std::vector<float> e(z.size());

  double exact_sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    e[i] = round(std::exp(round(z[i])));
    exact_sum += static_cast<double>(e[i]);
    found.exp_overflows |= e[i] == INFINITY;
  }
  float sum = round(static_cast<float>(exact_sum));
  found.sum_overflows = sum == INFINITY;
  found.formulas[kNaive] =
      compare(z, max, log_sum, [&](std::size_t i) { return round(std::log(round(e[i] / sum))); });

  float top = -INFINITY;
  for (const float x : z) top = std::max(top, round(x));
  exact_sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    e[i] = std::exp(round(z[i]) - top);
    exact_sum += static_cast<double>(e[i]);
  }
  sum = static_cast<float>(exact_sum);
  found.formulas[kLogOfSoftmax] =
      compare(z, max, log_sum, [&](std::size_t i) { return round(std::log(round(e[i] / sum))); });
  return found;
}

}  // namespace

bool Worst::is_finite() const { return std::isfinite(returned); }

double Worst::error() const { return std::abs(static_cast<double>(returned) - truth); }

bool Worst::is_worse_than(const Worst& other) const {
  if (is_finite() != other.is_finite()) return !is_finite();
  return is_finite() ? error() > other.error() : truth > other.truth;
}

RowFindings examine_row(const Tensor& logits, std::int64_t row, std::int64_t columns) {
  const std::vector<float> z = logits.dtype == DType::f32   ? load<float>(logits, row, columns)
                               : logits.dtype == DType::f16 ? load<Half>(logits, row, columns)
                                                            : load<BFloat16>(logits, row, columns);
  RowFindings found;
  look(z, found);
  if (found.status != RowStatus::ok) return found;
  const double max = static_cast<double>(found.max);
  double sum = 0;
  for (const float x : z) sum += std::exp(static_cast<double>(x) - max);
  found.lse = max + std::log(sum);
  found.formats = {examine_in<Half>(z, std::log(sum), max),
                   examine_in<BFloat16>(z, std::log(sum), max),
                   examine_in<float>(z, std::log(sum), max)};
  return found;
}

ExpRange exp_range(DType arithmetic) {
  // Logarithms of the values that round to infinity, and of half the smallest subnormal.
  switch (arithmetic) {
    case DType::f16: return {std::log(65520.0), std::log(0x1p-25)};
    case DType::bf16: return {std::log(0x1.ffp127), std::log(0x1p-134)};
    default: return {std::log(0x1.ffffffp127), std::log(0x1p-150)};
  }
}

double naive_fails_below(const RowFindings& row, DType arithmetic) {
  const ExpRange range = exp_range(arithmetic);
  const double max = static_cast<double>(row.max);
  // A term overflows, or all of them vanish.
  return max > 0 ? max / range.overflow : max / range.underflow;
}

double log_of_softmax_fails_below(const RowFindings& row, DType arithmetic) {
  const double spread = static_cast<double>(row.max) - static_cast<double>(row.min);
  return spread / -exp_range(arithmetic).underflow;
}

}  // namespace logsum::cli
