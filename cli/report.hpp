// SPDX-License-Identifier: Apache-2.0
// How Results leave the program: as a table, as JSON, as a file of tensors.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "input.hpp"
#include "results.hpp"
#include "table.hpp"

namespace logsum::cli {

// JSON has no NaN or infinity: null stands for them.
nlohmann::ordered_json finite_or_null(double value);

// The double that prints as the float does: 0.7, not 0.699999988079071.
double as_written(float value);

struct ReportOptions {
  bool json = false;
  bool all = false;
  bool quiet = false;
  std::optional<std::string> output;
  std::optional<std::string> select;
};

struct Summary {
  nlohmann::ordered_json json;
  Facts facts;
};

// Throws, before anything is computed, what would make the output file impossible afterwards.
void check_output(const ReportOptions& options, const Results& results);

// The file first: if it can't be written, nothing is printed.
void report(const Results& results, const Summary& summary, const ReportOptions& options);

// Tensors with the rows' leading dimensions.
void write_tensors(const Results& results, const ReportOptions& options);
// All of them and one more, to a safetensors file.
void write_tensors(const Results& results, const io::ArrayInfo& more, const std::string& path);
std::string rows_to_json(const Results& results, const nlohmann::ordered_json& summary);
Table rows_to_table(const Results& results, bool all, std::string (*format)(double) = &number);
// More lines than this are cut in the middle, unless all are asked for.
inline constexpr std::int64_t kShownRows = 40;
// Of these rows alone, in this order.
Table rows_to_table(const Results& results, const std::vector<std::int64_t>& rows);

// {"ok": 7, "nan": 1}: the statuses that occur; and the same for people.
nlohmann::ordered_json count_statuses(const Column& row_status, std::int64_t rows);
std::string describe_statuses(const nlohmann::ordered_json& counts);

// The mean of values in rows that are `ok`, in float64; NaN if there are none.
double mean_of_ok(const Column& values, const Column& row_status);

// An input's rows and what became of each (not of any other input's).
struct RowStatuses {
  const Input& logits;
  const std::vector<std::int32_t>& of_row;
  const char* lack = "no distribution";        // of bad rows
  std::span<const std::int64_t> targets = {};  // where these may be the trouble
};

// Throws DataError naming, for each input, the first bad rows.
void fail_on_bad_rows(std::initializer_list<RowStatuses> inputs, std::int64_t columns);

}  // namespace logsum::cli
