// SPDX-License-Identifier: Apache-2.0
#include "input.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "errors.hpp"
#include "io/file_error.hpp"

namespace logsum::cli {
namespace {

struct Spec {
  std::string file;
  std::optional<std::string> tensor;
};

// File names may hold colons, and so may tensor names: the longest prefix that exists is the file.
Spec split(const std::string& text) {
  std::error_code ignored;
  if (std::filesystem::exists(text, ignored)) return {text, std::nullopt};
  for (std::size_t at = text.rfind(':'); at != std::string::npos && at > 0;
       at = text.rfind(':', at - 1))
    if (std::filesystem::exists(text.substr(0, at), ignored))
      return {text.substr(0, at), text.substr(at + 1)};
  const std::size_t at = text.find(':');
  if (at == std::string::npos) return {text, std::nullopt};
  return {text.substr(0, at), text.substr(at + 1)};
}

Input open(const std::string& text, const Input* same_file, std::optional<std::string>& tensor) {
  if (text.empty()) throw UsageError("an empty input; must be FILE or FILE:TENSOR");
  Input input;
  if (same_file != nullptr && text.size() > 1 && text.front() == ':') {
    input.file = same_file->file;
    tensor = text.substr(1);
    return input;
  }
  Spec spec = split(text);
  tensor = std::move(spec.tensor);
  // One mapping for a file that is named twice.
  input.file = same_file != nullptr && same_file->file->path() == spec.file
                   ? same_file->file
                   : std::make_shared<const io::ArrayFile>(spec.file);
  return input;
}

bool is_logits(const io::ArrayInfo& array) {
  return is_floating(array.dtype) && array.shape.size() >= 2;
}

const io::ArrayInfo& default_array(const io::ArrayFile& file, const Wanted& wanted) {
  if (file.format() == io::ArrayFile::Format::npy) return file.arrays().front();
  if (const io::ArrayInfo* array = file.find(wanted.name)) return *array;
  std::vector<const io::ArrayInfo*> candidates;
  for (const io::ArrayInfo& array : file.arrays())
    if (wanted.qualifies(array)) candidates.push_back(&array);
  if (candidates.size() == 1) return *candidates.front();

  const std::string path = io::printable(file.path(), 4096);
  if (candidates.empty())
    throw DataError(
        fmt::format("{}: no tensor \"{}\" and no {}", path, wanted.name, wanted.description));
  constexpr std::size_t kShown = 8;
  std::string list;
  for (std::size_t i = 0; i < std::min(candidates.size(), kShown); ++i)
    list += fmt::format("{}{} {} {}", i > 0 ? ", " : "", io::in_quotes(candidates[i]->name),
                        to_string(candidates[i]->dtype), io::shape_text(candidates[i]->shape));
  if (candidates.size() > kShown) list += fmt::format(" and {} more", candidates.size() - kShown);
  throw UsageError(fmt::format("{}: which tensor? Name one as FILE:TENSOR: {}", path, list));
}

// Copied through memcpy: the file promises no alignment.
template <class Stored, class T>
std::vector<T> copied(const io::ArrayInfo& array) {
  std::vector<T> values(array.bytes / sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored value;
    std::memcpy(&value, static_cast<const std::byte*>(array.data) + i * sizeof value, sizeof value);
    if constexpr (is_logits_dtype(dtype_of<Stored>))
      values[i] = static_cast<T>(static_cast<float>(value));
    else
      values[i] = value;
  }
  return values;
}

}  // namespace

std::int64_t Input::rows() const {
  std::int64_t n = 1;
  for (const std::int64_t d : leading()) n *= d;
  return n;
}

Input input_of(std::shared_ptr<const io::ArrayFile> file, const io::ArrayInfo& array) {
  Input input;
  input.label = io::printable(file->path(), 4096);
  if (!array.name.empty()) input.label += ':' + io::printable(array.name);
  input.file = std::move(file);
  input.array = array;
  return input;
}

bool is_floating(DType dtype) { return is_logits_dtype(dtype) || dtype == DType::f64; }

Input open_array(const std::string& text, const Input* same_file, const Wanted& wanted,
                 const NamedBy& named) {
  std::optional<std::string> tensor;
  Input input = open(text, same_file, tensor);
  if (named.name) {
    if (tensor)
      throw UsageError(fmt::format("{} is {}, but {} already names a tensor", named.option,
                                   io::in_quotes(*named.name), io::in_quotes(text)));
    tensor = named.name;
  }
  return input_of(input.file,
                  tensor ? input.file->at(*tensor) : default_array(*input.file, wanted));
}

bool holds_integers(const io::ArrayInfo& array) {
  return array.dtype == DType::i64 || array.dtype == DType::i32;
}

bool holds_a_mask(const io::ArrayInfo& array) {
  return holds_integers(array) || array.dtype == DType::u8 || array.dtype == DType::boolean;
}

std::vector<std::int64_t> integers_of(const io::ArrayInfo& array) {
  switch (array.dtype) {
    case DType::i64: return copied<std::int64_t, std::int64_t>(array);
    case DType::i32: return copied<std::int32_t, std::int64_t>(array);
    default: return copied<std::uint8_t, std::int64_t>(array);
  }
}

std::vector<double> doubles_of(const io::ArrayInfo& array) {
  switch (array.dtype) {
    case DType::f64: return copied<double, double>(array);
    case DType::f16: return copied<Half, double>(array);
    case DType::bf16: return copied<BFloat16, double>(array);
    default: return copied<float, double>(array);
  }
}

Input open_logits(const std::string& text, const Input* same_file) {
  Input input = open_array(text, same_file,
                           {.name = "logits",
                            .description = "floating tensor with two or more dimensions",
                            .qualifies = is_logits});
  const io::ArrayInfo& array = input.array;
  const auto refuse = [&](const std::string& why) {
    throw DataError(fmt::format("{}: {}", input.label, why));
  };
  if (!is_logits_dtype(array.dtype))
    refuse(fmt::format("logits have dtype {}, must be f32, f16 or bf16", to_string(array.dtype)));
  const std::string shape = io::shape_text(array.shape);
  if (array.shape.empty() || array.shape.size() > kMaxRank)
    refuse(fmt::format("logits have shape {}, must have 1 to {} dimensions", shape, kMaxRank));
  if (array.shape.back() < 1 || array.shape.back() > INT32_MAX)
    refuse(fmt::format("logits have shape {}, the last dimension must be in [1, 2^31 - 1]", shape));
  return input;
}

std::vector<std::int64_t> read_targets(const std::optional<std::string>& text, const Input& logits,
                                       std::string& label) {
  std::optional<std::string> tensor;
  Input input = open(text.value_or(":targets"), &logits, tensor);
  const io::ArrayFile& file = *input.file;
  if (!text && file.find("targets") == nullptr)
    throw UsageError(fmt::format("{}: no tensor \"targets\" in the file; name them with --targets",
                                 io::printable(file.path(), 4096)));
  input = input_of(input.file, tensor                                        ? file.at(*tensor)
                               : file.format() == io::ArrayFile::Format::npy ? file.arrays().front()
                                                                             : file.at("targets"));
  label = input.label;
  const io::ArrayInfo& array = input.array;
  if (array.dtype != DType::i32 && array.dtype != DType::i64)
    throw DataError(fmt::format("{}: targets have dtype {}, must be i32 or i64", label,
                                to_string(array.dtype)));
  if (array.shape != logits.leading())
    throw DataError(fmt::format("{}: targets have shape {}, must be {} ({} is {})", label,
                                io::shape_text(array.shape), io::shape_text(logits.leading()),
                                logits.label, io::shape_text(logits.array.shape)));

  return integers_of(array);
}

void check_targets(const std::vector<std::int64_t>& targets, const std::string& label,
                   const Input& logits, std::int64_t columns, std::int64_t ignore_index) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == ignore_index || (targets[i] >= 0 && targets[i] < columns)) continue;
    throw DataError(fmt::format("{}: row {} is {}, must be in [0, {}) or {} (ignored)", label,
                                row_name(logits.leading(), static_cast<std::int64_t>(i)),
                                targets[i], columns, ignore_index));
  }
}

std::string row_name(const std::vector<std::int64_t>& leading, std::int64_t row) {
  std::string name;
  for (std::size_t i = leading.size(); i-- > 1;) {
    name = fmt::format(",{}{}", row % leading[i], name);
    row /= leading[i];
  }
  return fmt::format("{}{}", row, name);
}

std::int64_t used_columns(std::int64_t vocab_size, const Input& logits) {
  if (vocab_size > logits.columns())
    throw UsageError(fmt::format("--vocab-size is {}, must be in [1, {}] ({} is {})", vocab_size,
                                 logits.columns(), logits.label,
                                 io::shape_text(logits.array.shape)));
  return vocab_size > 0 ? vocab_size : logits.columns();
}

}  // namespace logsum::cli
