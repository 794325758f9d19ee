// SPDX-License-Identifier: Apache-2.0
// logsum doctor: the tutorial on numerical stability, made of the user's own logits. Rows are
// examined in plain C++ (doctor_row.cpp), on all threads, and folded here.
#include "doctor.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "commands.hpp"
#include "errors.hpp"
#include "logsum/token_logprobs.hpp"
#include "numbers.hpp"
#include "on_device.hpp"
#include "row_blocks.hpp"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

struct DoctorOptions {
  std::string input;
  std::int64_t vocab_size = 0;
  bool json = false;
};

std::vector<RowFindings> examine(const RowBlock& block, std::int64_t columns, Executor& executor) {
  struct Job {
    const Tensor& logits;
    std::int64_t columns;
    std::vector<RowFindings> found;
    std::atomic<bool> out_of_memory = false;
  } job{block.logits[0], columns, std::vector<RowFindings>(static_cast<std::size_t>(block.rows))};
  const bool ran = executor.run(
      block.rows,
      [](void* argument, std::int64_t row) {
        Job& j = *static_cast<Job*>(argument);
        try {
          j.found[static_cast<std::size_t>(row)] = examine_row(j.logits, row, j.columns);
        } catch (const std::bad_alloc&) {  // an executor's tasks may not throw
          j.out_of_memory = true;
        }
      },
      &job);
  if (!ran || job.out_of_memory) throw std::bad_alloc();
  return std::move(job.found);
}

// Where the columns of padding begin: from there on every row is constant. Rows that are constant
// throughout tell nothing. Two equal neighbours may be chance, so few rows need a longer run.
class PaddingSearch {
 public:
  explicit PaddingSearch(std::int64_t columns) : columns_(columns) {}

  void add(const RowFindings& row) {
    if (row.run_start == 0) return;
    start_ = std::max(start_, row.run_start);
    tails_.push_back({row.run_value, row.lse});
  }

  void finish(Diagnosis& d) const {
    const std::int64_t run = columns_ - start_;
    const auto rows = static_cast<std::int64_t>(tails_.size());
    d.pad_start = rows > 0 && run >= 2 && (run - 1) * rows >= 3 ? start_ : columns_;
    for (const Tail& tail : tails_)
      d.pad_probability =
          std::max(d.pad_probability, static_cast<double>(columns_ - d.pad_start) *
                                          std::exp(static_cast<double>(tail.value) - tail.lse));
  }

 private:
  struct Tail {
    float value;
    double lse;
  };
  std::int64_t columns_;
  std::int64_t start_ = 0;
  std::vector<Tail> tails_;
};

void fold(const RowFindings& row, std::int64_t index, Diagnosis& d) {
  auto& count = d.statuses[to_string(row.status)];
  count = count.is_null() ? 1 : count.get<std::int64_t>() + 1;
  d.nan += row.nan;
  d.pos_inf += row.pos_inf;
  d.neg_inf += row.neg_inf;
  if (row.status != RowStatus::ok) return;
  d.min = d.healthy > 0 ? std::min(d.min, row.min) : row.min;
  d.max = d.healthy > 0 ? std::max(d.max, row.max) : row.max;
  ++d.healthy;
  d.tied_rows += row.ties > 1;
  d.most_ties = std::max(d.most_ties, row.ties);
  for (std::size_t a = 0; a < kArithmeticCount; ++a) {
    const RowFindings::Arithmetic& from = row.formats[a];
    Diagnosis::Arithmetic& to = d.formats[a];
    to.exp_overflows += from.exp_overflows;
    to.sum_overflows += from.sum_overflows;
    to.naive_below = std::max(to.naive_below, from.naive_below);
    to.log_of_softmax_below = std::max(to.log_of_softmax_below, from.log_of_softmax_below);
    const auto finite = static_cast<double>(d.columns - row.neg_inf);
    to.any_temperature_overflows |= std::log(finite) >= exp_range(kArithmetics[a]).overflow;
    for (std::size_t f = 0; f < kFormulaCount; ++f) {
      const FormulaFindings& formula = from.formulas[f];
      Diagnosis::Arithmetic::PerFormula& total = to.formulas[f];
      total.bad_rows += formula.bad_columns > 0;
      total.bad_columns += formula.bad_columns;
      if (total.worst.row >= 0 && !formula.worst.is_worse_than(total.worst)) continue;
      total.worst = formula.worst;
      total.worst.row = index;
    }
  }
}

float stable_logprob(const Input& logits, std::int64_t columns, const Worst& at, Session& session) {
  const SomeRows row(logits, at.row);
  float logprob = 0;
  OnDevice on_device(session.gpu());
  check(token_logprobs({.logits = on_device.in(row.tensor()),
                        .targets = on_device.in(Tensor::of(&at.column, {1})),
                        .logprobs = on_device.out(Tensor::of(&logprob, {1})),
                        .vocab_size = columns},
                       session.context()),
        logits.label);
  on_device.finish();
  return logprob;
}

Diagnosis diagnose(const DoctorOptions& options, Session& session) {
  session.gpu();  // says at once that there is none
  const Input logits = open_logits(options.input);
  Diagnosis d;
  d.label = logits.label;
  d.dtype = logits.array.dtype;
  d.shape = logits.array.shape;
  d.leading = logits.leading();
  d.rows = logits.rows();
  d.columns = used_columns(options.vocab_size, logits);
  d.pad_start = d.columns;

  PaddingSearch padding(d.columns);
  for_each_block({&logits}, "examining", session.quiet(), [&](const RowBlock& block) {
    const std::vector<RowFindings> found = examine(block, d.columns, session.executor());
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const RowFindings& row = found[static_cast<std::size_t>(i)];
      fold(row, block.first + i, d);
      if (row.status == RowStatus::ok) padding.add(row);
    }
  });
  padding.finish(d);
  for (Diagnosis::Arithmetic& arithmetic : d.formats)
    for (auto& formula : arithmetic.formulas)
      if (formula.worst.row >= 0)
        formula.stable =
            static_cast<double>(stable_logprob(logits, d.columns, formula.worst, session));
  return d;
}

}  // namespace

void add_doctor(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("doctor", "Where these logits break the textbook formulas");
  auto o = std::make_shared<DoctorOptions>();
  command->add_option("INPUT", o->input, "Logits [..., V]: FILE or FILE:TENSOR")
      ->type_name("")
      ->required();
  add_parsed(
      *command, "--vocab-size", "N",
      [o](const std::string& t) { o->vocab_size = parse_i64("--vocab-size", t, 1, INT32_MAX); },
      "Columns from N on are padding (default: none is)");
  command->add_flag("--json", o->json, "JSON on stdout");
  command->footer(
      "The textbook formulas are computed as written in f16, bf16 and f32: each exp,\n"
      "quotient and log is rounded to the format, sums are exact and then rounded; a\n"
      "softmax works in f32 inside, as libraries do, and its result is rounded. Rows\n"
      "with NaN, +inf or all -inf are findings here, not errors: the exit status is 0.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      Session session(globals);
      const Diagnosis diagnosis = diagnose(*o, session);
      if (o->json)
        write_stdout(to_json(diagnosis).dump(2) + '\n');
      else if (!globals.quiet)
        write_stdout(
            to_text(diagnosis, terminal_width(STDOUT_FILENO), may_use_colour(STDOUT_FILENO)));
      flush_stdout();
      return 0;
    };
  });
}

}  // namespace logsum::cli
