// SPDX-License-Identifier: Apache-2.0
// Inputs as the user names them: FILE or FILE:TENSOR, or :TENSOR for another tensor of INPUT's
// file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/array_file.hpp"
#include "logsum/tensor.hpp"

namespace logsum::cli {

struct Input {
  std::shared_ptr<const io::ArrayFile> file;
  io::ArrayInfo array;
  std::string label;  // FILE:TENSOR, fit for a terminal

  std::vector<std::int64_t> leading() const { return {array.shape.begin(), array.shape.end() - 1}; }
  std::int64_t columns() const { return array.shape.back(); }
  std::int64_t rows() const;
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(columns()) * size_of(array.dtype);
  }
};

// Which array of a file is meant where the user names none: an NPY file's; else the tensor `name`,
// else the only one that qualifies.
struct Wanted {
  const char* name;
  const char* description;
  bool (*qualifies)(const io::ArrayInfo&);
};

// A tensor named by an option of its own rather than as FILE:TENSOR.
struct NamedBy {
  const char* option = "";
  std::optional<std::string> name;
};

// Any array. Throws UsageError where the user has to choose, or named two.
Input open_array(const std::string& text, const Input* same_file, const Wanted& wanted,
                 const NamedBy& named = {});

Input input_of(std::shared_ptr<const io::ArrayFile> file, const io::ArrayInfo& array);

bool is_floating(DType dtype);
bool holds_integers(const io::ArrayInfo& array);  // i64 or i32
bool holds_a_mask(const io::ArrayInfo& array);    // these, u8 or bool

// The values of an array of i64, i32, u8 or bool; of a floating one.
std::vector<std::int64_t> integers_of(const io::ArrayInfo& array);
std::vector<double> doubles_of(const io::ArrayInfo& array);

// Logits [..., V] of f32, f16 or bf16. Without a tensor name: `logits`, else the file's only
// floating tensor with two or more dimensions. Throws UsageError where the user has to choose,
// DataError or FileError where the file is at fault.
Input open_logits(const std::string& text, const Input* same_file = nullptr);

// One integer per row of `logits`. Without `text`: the tensor `targets` of the same file.
std::vector<std::int64_t> read_targets(const std::optional<std::string>& text, const Input& logits,
                                       std::string& label);

// Throws DataError unless each target is in [0, columns) or `ignore_index`. Before the logits are
// read: a run of an hour shouldn't end on a bad target.
void check_targets(const std::vector<std::int64_t>& targets, const std::string& label,
                   const Input& logits, std::int64_t columns, std::int64_t ignore_index);

// "3", or "1,3" where there are two leading dimensions: how a user would index the row.
std::string row_name(const std::vector<std::int64_t>& leading, std::int64_t row);

// --vocab-size, checked: the columns that are used.
std::int64_t used_columns(std::int64_t vocab_size, const Input& logits);

}  // namespace logsum::cli
