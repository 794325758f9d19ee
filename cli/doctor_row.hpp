// SPDX-License-Identifier: Apache-2.0
// What logsum doctor learns from one row: what is in it, and what the textbook formulas for
// log-softmax would have made of it in each arithmetic, beside float64.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "logsum/row_status.hpp"
#include "logsum/tensor.hpp"

namespace logsum::cli {

// Arithmetic of the textbook formulas: every result of exp, of a division, of log is rounded to the
// format. The sum is taken in f64 and rounded once: how well a library adds is not the question
// here. softmax works in f32 inside, as libraries do: its quotient is rounded to the format.
inline constexpr DType kArithmetics[] = {DType::f16, DType::bf16, DType::f32};
inline constexpr std::size_t kArithmeticCount = 3;

enum Formula { kNaive, kLogOfSoftmax, kFormulaCount };
inline constexpr const char* kFormulaNames[] = {"log(exp(z) / sum exp(z))", "log(softmax(z))"};

// Where a formula went wrong most: -inf or NaN where the truth is finite, the likeliest such token
// first, else the largest error.
struct Worst {
  std::int64_t row = -1;
  std::int64_t column = -1;
  float logit = 0;
  float returned = 0;
  double truth = 0;

  bool is_finite() const;
  double error() const;
  bool is_worse_than(const Worst& other) const;
};

struct FormulaFindings {
  std::int64_t bad_columns = 0;  // -inf or NaN where the truth is finite
  Worst worst;
};

struct RowFindings {
  RowStatus status = RowStatus::ok;
  std::int64_t nan = 0, pos_inf = 0, neg_inf = 0;
  float max = 0, min = 0;      // over the finite logits
  std::int64_t ties = 0;       // columns that hold the maximum
  std::int64_t run_start = 0;  // from here to the end all columns are equal
  float run_value = 0;
  double lse = 0;

  struct Arithmetic {
    bool exp_overflows = false;
    bool sum_overflows = false;
    double naive_below = 0, log_of_softmax_below = 0;  // unsafe temperatures
    FormulaFindings formulas[kFormulaCount];
  };
  std::array<Arithmetic, kArithmeticCount> formats;
};

RowFindings examine_row(const Tensor& logits, std::int64_t row, std::int64_t columns);

// What exp's result in the format can be: above `overflow` it is infinite, below `underflow` zero.
struct ExpRange {
  double overflow, underflow;
};
ExpRange exp_range(DType arithmetic);

}  // namespace logsum::cli
