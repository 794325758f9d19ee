// SPDX-License-Identifier: Apache-2.0
// The findings of logsum doctor over all rows, and their two forms.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "doctor_row.hpp"
#include "input.hpp"

namespace logsum::cli {

struct Diagnosis {
  std::string label;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape, leading;
  std::int64_t rows = 0, columns = 0;
  nlohmann::ordered_json statuses = nlohmann::ordered_json::object();
  std::int64_t healthy = 0;  // rows with a distribution

  std::int64_t nan = 0, pos_inf = 0, neg_inf = 0;
  float min = 0, max = 0;  // over the healthy rows
  std::int64_t tied_rows = 0, most_ties = 0;

  // Columns [pad_start, columns) look like padding; none where pad_start = columns.
  std::int64_t pad_start = 0;
  double pad_probability = 0;  // the most that they hold in a row

  struct Arithmetic {
    std::int64_t exp_overflows = 0, sum_overflows = 0;  // rows
    double naive_below = 0, log_of_softmax_below = 0;   // unsafe temperatures
    bool any_temperature_overflows = false;  // the sum of V ones does, so large ones don't help
    struct PerFormula {
      std::int64_t bad_rows = 0;
      std::int64_t bad_columns = 0;
      Worst worst;
      double stable = 0;  // what logsum returns there
    } formulas[kFormulaCount];
  };
  std::array<Arithmetic, kArithmeticCount> formats;
};

nlohmann::ordered_json to_json(const Diagnosis& diagnosis);
std::string to_text(const Diagnosis& diagnosis, int width, bool colour);

}  // namespace logsum::cli
