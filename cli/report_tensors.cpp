// SPDX-License-Identifier: Apache-2.0
// Results as a file: OUT.safetensors with one tensor per name, or OUT.npy with one of them.
#include <fmt/format.h>

#include "errors.hpp"
#include "io/atomic_file.hpp"
#include "io/file_error.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"
#include "logsum/version.h"
#include "report.hpp"

namespace logsum::cli {
namespace {

io::ArrayInfo array_of(const Results& results, const Column& column) {
  io::ArrayInfo array;
  array.name = column.name;
  array.dtype = column.dtype();
  array.shape = results.leading();
  if (column.inner > 0) array.shape.push_back(column.inner);
  array.data = column.data();
  array.bytes = static_cast<std::size_t>(results.rows()) * column.per_row() * size_of(array.dtype);
  return array;
}

void write_arrays(const std::string& path, std::vector<io::ArrayInfo> arrays) {
  std::string codes;
  for (int i = 0; i < kRowStatuses; ++i)
    codes += fmt::format("{}{} {}", i > 0 ? ", " : "", i, to_string(static_cast<RowStatus>(i)));
  io::write_safetensors(path, std::move(arrays),
                        {{"made_by", "logsum " LOGSUM_VERSION}, {"row_status", codes}});
}

}  // namespace

void check_output(const ReportOptions& options, const Results& results) {
  if (!options.output) {
    if (options.select) throw UsageError("--select goes with --output");
    return;
  }
  const bool npy = options.output->ends_with(".npy");
  if (!npy && !options.output->ends_with(".safetensors"))
    throw UsageError(fmt::format("--output is {}, must end in .safetensors or .npy",
                                 io::in_quotes(*options.output)));
  std::string names;
  for (const Column& column : results.columns()) names += (names.empty() ? "" : ", ") + column.name;
  if (npy && !options.select)
    throw UsageError("--output to .npy holds one array: choose it with --select, of " + names);
  if (options.select && results.find(*options.select) == nullptr)
    throw UsageError(
        fmt::format("--select is {}, must be one of {}", io::in_quotes(*options.select), names));
  // Created and, without commit(), removed again: a folder that can't be written shows now, not
  // after an hour.
  io::AtomicFile probe(*options.output);
}

void write_tensors(const Results& results, const ReportOptions& options) {
  if (options.output->ends_with(".npy"))
    return io::write_npy(*options.output, array_of(results, *results.find(*options.select)));
  std::vector<io::ArrayInfo> arrays;
  for (const Column& column : results.columns())
    if (!options.select || column.name == *options.select)
      arrays.push_back(array_of(results, column));
  write_arrays(*options.output, std::move(arrays));
}

void write_tensors(const Results& results, const io::ArrayInfo& more, const std::string& path) {
  std::vector<io::ArrayInfo> arrays{more};
  for (const Column& column : results.columns()) arrays.push_back(array_of(results, column));
  write_arrays(path, std::move(arrays));
}

}  // namespace logsum::cli
