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

// The temperature below which log Σ e^((z − origin)/T) exceeds `limit`; 0 if it never does. In 1/T
// it is convex and has ln V at 0: Newton's steps from where the largest term alone reaches the
// limit only come down. Where ln V is beyond the limit too, what that term alone gives.
double sum_exceeds_below(const std::vector<float>& z, double origin, double max, double limit) {
  if (!(max > origin)) return 0;
  double beta = limit / (max - origin);
  for (int step = 0; step < 50; ++step) {
    double sum = 0, slope = 0;
    for (const float x : z) {
      if (x == -INFINITY) continue;
      const double e = std::exp(beta * (static_cast<double>(x) - max));
      sum += e;
      slope += e * (static_cast<double>(x) - origin);
    }
    slope /= sum;
    const double excess = std::log(sum) + beta * (max - origin) - limit;
    const double next = beta - excess / slope;
    if (!(slope > 0) || !(next > 0)) return (max - origin) / limit;
    if (next > beta * (1 - 1e-12)) break;
    beta = next;
  }
  return 1 / beta;
}

// Naive: the sum overflows, a term vanishes, or its quotient by the sum does. log(softmax): the
// last.
void find_unsafe_temperatures(const std::vector<float>& z, const RowFindings& row,
                              const ExpRange& range, RowFindings::Arithmetic& found) {
  const double max = static_cast<double>(row.max), min = static_cast<double>(row.min);
  found.log_of_softmax_below = sum_exceeds_below(z, min, max, -range.underflow);
  found.naive_below =
      std::max({found.log_of_softmax_below, sum_exceeds_below(z, 0.0, max, range.overflow),
                min / range.underflow});
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
  for (std::size_t a = 0; a < kArithmeticCount; ++a)
    find_unsafe_temperatures(z, found, exp_range(kArithmetics[a]), found.formats[a]);
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

}  // namespace logsum::cli
