// SPDX-License-Identifier: Apache-2.0
#include "loss_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "errors.hpp"
#include "io/file_error.hpp"

namespace logsum::cli {
namespace {

struct Kind {
  const char* dtypes;
  bool (*holds)(const io::ArrayInfo&);
};
constexpr Kind kIntegers{"i32 or i64", holds_integers};
constexpr Kind kFlags{"i64, i32, u8 or bool", holds_a_mask};
constexpr Kind kReals{"f32, f16, bf16 or f64",
                      [](const io::ArrayInfo& a) { return is_floating(a.dtype); }};

struct Named {
  const char* option;
  const char* name;  // of the tensor, where no option says another
  std::optional<std::string> LossFiles::*given;
  Kind kind;
  bool is_required;
  const char* help;
};
constexpr Named kTargets{"--targets", "targets", &LossFiles::targets, kIntegers, true, "tokens"};
constexpr Named kAdvantages{"--advantages", "advantages", &LossFiles::advantages,
                            kReals,         true,         "of sequences or tokens"};
constexpr Named kMask{"--mask", "completion_mask",           &LossFiles::mask, kFlags,
                      false,    "0: the token doesn't count"};
constexpr Named kOld{"--old", "old_per_token_logps", &LossFiles::old, kReals,
                     false,   "ratios are to these"};
constexpr Named kRef{"--ref", "ref_per_token_logps", &LossFiles::ref, kReals,
                     false,   "KL is from these"};
constexpr Named kSampling{"--sampling", "sampling_per_token_logps",  &LossFiles::sampling, kReals,
                          false,        "for --off-policy-threshold"};
constexpr Named kWeights{"--weights", "importance_weights",    &LossFiles::weights, kReals,
                         false,       "times the loss, not KL"};
constexpr Named kEntropyMask{"--entropy-mask", "entropy_mask", &LossFiles::entropy_mask,
                             kFlags,           false,          "0: leaves the token KL alone"};
constexpr Named kCuSeqlens{"--cu-seqlens", "cu_seqlens", &LossFiles::cu_seqlens,
                           kIntegers,      false,        "[B + 1], cuts logits [N, V]"};

constexpr const Named* kAll[] = {&kTargets,  &kAdvantages, &kMask,        &kOld,      &kRef,
                                 &kSampling, &kWeights,    &kEntropyMask, &kCuSeqlens};

constexpr const char* kNotUsed = "none";

bool holds(const io::ArrayFile& file, const char* name) {
  return file.find(name) != nullptr ||
         std::ranges::any_of(file.skipped(), [&](const auto& skipped) {
           return skipped.name == name;
         });  // at() says what is the matter with it
}

class Reader {
 public:
  explicit Reader(const LossFiles& given)
      : given_(given), logits_(open_logits(given.files.front())), files_{logits_.file} {
    for (std::size_t i = 1; i < given.files.size(); ++i) {
      const std::string& path = given.files[i];
      if (std::ranges::any_of(files_, [&](const auto& file) { return file->path() == path; }))
        continue;
      const auto file = std::make_shared<const io::ArrayFile>(path);
      if (file->format() == io::ArrayFile::Format::npy)
        throw UsageError(fmt::format("{}: an NPY file's array has no name; give it to an option",
                                     io::printable(path, 4096)));
      files_.push_back(file);
    }
  }

  const Input& logits() const { return logits_; }

  Given<float> reals(const Named& what, bool of_tokens = true) const {
    Given<float> values;
    const auto input = open(what, of_tokens, values);
    if (!input) return values;
    const std::vector<double> stored = doubles_of(input->array);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      values.values.push_back(static_cast<float>(stored[i]));
      if (std::isfinite(stored[i]) && !std::isfinite(values.values.back()))
        throw DataError(fmt::format("{}: {} is {}, beyond f32", values.label,
                                    row_name(values.shape, static_cast<std::int64_t>(i)),
                                    stored[i]));
    }
    return values;
  }

  Given<std::int64_t> integers(const Named& what, bool of_tokens = true) const {
    Given<std::int64_t> values;
    if (const auto input = open(what, of_tokens, values)) values.values = integers_of(input->array);
    return values;
  }

  Given<std::uint8_t> flags(const Named& what) const {
    Given<std::uint8_t> values;
    if (const auto input = open(what, true, values))
      for (const std::int64_t value : integers_of(input->array))
        values.values.push_back(value != 0);
    return values;
  }

 private:
  // Fills all but the values.
  template <class T>
  std::optional<Input> open(const Named& what, bool of_tokens, Given<T>& given) const {
    const std::optional<Input> input = find(what);
    if (!input) return input;
    const io::ArrayInfo& array = input->array;
    const auto refuse = [&](const std::string& has, const std::string& allowed) {
      throw DataError(
          fmt::format("{}: {} has {}, must be {}", input->label, what.name, has, allowed));
    };
    const std::string shape = io::shape_text(array.shape);
    const std::string of_logits =
        fmt::format(" ({} is {})", logits_.label, io::shape_text(logits_.array.shape));
    if (!what.kind.holds(array))
      refuse(fmt::format("dtype {}", to_string(array.dtype)), what.kind.dtypes);
    if (of_tokens && array.shape != logits_.leading())
      refuse("shape " + shape, io::shape_text(logits_.leading()) + of_logits);
    if (array.shape.size() > logits_.array.shape.size())
      refuse("shape " + shape, "of tokens or sequences" + of_logits);
    given.shape = array.shape;
    given.label = input->label;
    return input;
  }

  std::optional<Input> find(const Named& what) const {
    const std::optional<std::string>& text = given_.*what.given;
    if (text && (what.is_required || *text != kNotUsed))
      return open_array(*text, &logits_, {what.name, "tensor of its kind", what.kind.holds});
    if (text) return {};
    std::shared_ptr<const io::ArrayFile> found;
    for (const auto& file : files_) {
      if (!holds(*file, what.name)) continue;
      if (found)
        throw UsageError(fmt::format("{} is in {} and in {}: say which with {}", what.name,
                                     io::printable(found->path(), 4096),
                                     io::printable(file->path(), 4096), what.option));
      found = file;
    }
    if (found) return input_of(found, found->at(what.name));
    if (what.is_required)
      throw UsageError(fmt::format("{}: no tensor \"{}\" in the file{}; name it with {}",
                                   io::printable(logits_.file->path(), 4096), what.name,
                                   files_.size() > 1 ? " or the others" : "", what.option));
    return {};
  }

  const LossFiles& given_;
  Input logits_;
  std::vector<std::shared_ptr<const io::ArrayFile>> files_;
};

// On a GPU the operation doesn't look at the values.
void check_cuts(const Given<std::int64_t>& cuts, std::int64_t rows) {
  const std::vector<std::int64_t>& values = cuts.values;
  if (cuts.shape.size() != 1 || values.empty())
    throw DataError(fmt::format("{}: cu_seqlens has shape {}, must be [B + 1]", cuts.label,
                                io::shape_text(cuts.shape)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t least = i == 0 ? 0 : values[i - 1];
    const std::int64_t most = i == 0 ? 0 : rows;
    if (values[i] < least || values[i] > most || (i + 1 == values.size() && values[i] != rows))
      throw DataError(fmt::format("{}: cu_seqlens[{}] is {}, must rise from 0 to {} (rows)",
                                  cuts.label, i, values[i], rows));
  }
}

void know_sequences(LossInputs& in) {
  const std::int64_t rows = in.logits.rows();
  if (in.cu_seqlens) {
    check_cuts(in.cu_seqlens, rows);
    in.sequences = static_cast<std::int64_t>(in.cu_seqlens.values.size()) - 1;
    for (std::int64_t s = 0; s < in.sequences; ++s)
      in.sequence_of_row.resize(
          static_cast<std::size_t>(in.cu_seqlens.values[static_cast<std::size_t>(s) + 1]), s);
    return;
  }
  const std::vector<std::int64_t> leading = in.logits.leading();
  if (leading.empty())
    throw DataError(fmt::format("{}: logits have shape {}, must be [..., T, V], or [N, V]",
                                in.logits.label, io::shape_text(in.logits.array.shape)));
  in.sequences = 1;
  for (std::size_t i = 0; i + 1 < leading.size(); ++i) in.sequences *= leading[i];
  for (std::int64_t row = 0; row < rows; ++row) in.sequence_of_row.push_back(row / leading.back());
}

}  // namespace

void LossFiles::add_to(CLI::App& command) {
  command.add_option("FILE", files, "The logits, FILE or FILE:TENSOR; then other files")
      ->type_name("")
      ->required();
  for (const Named* what : kAll)
    command
        .add_option(what->option, this->*what->given,
                    fmt::format("`{}`: {}", what->name, what->help))
        ->type_name("INPUT");
}

LossInputs read_loss_inputs(const LossFiles& files) {
  const Reader reader(files);
  LossInputs in;
  in.logits = reader.logits();
  in.targets = reader.integers(kTargets);
  in.advantages = reader.reals(kAdvantages, false);
  in.mask = reader.flags(kMask);
  in.old = reader.reals(kOld);
  in.ref = reader.reals(kRef);
  in.sampling = reader.reals(kSampling);
  in.weights = reader.reals(kWeights, false);
  in.entropy_mask = reader.flags(kEntropyMask);
  in.cu_seqlens = reader.integers(kCuSeqlens, false);
  know_sequences(in);
  return in;
}

}  // namespace logsum::cli
