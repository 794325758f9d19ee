// SPDX-License-Identifier: Apache-2.0
// logsum sample: tokens drawn from each row, with their log-probs.
#include "logsum/sample.hpp"

#include <fmt/format.h>

#include "commands.hpp"
#include "errors.hpp"
#include "numbers.hpp"
#include "on_device.hpp"
#include "row_blocks.hpp"

namespace logsum::cli {
namespace {

struct SampleOptions {
  std::string input;
  float temperature = 1;
  std::uint64_t seed = 0;
  std::uint64_t offset = 0;
  std::optional<double> u;
  std::int64_t draws = 1;
  std::int64_t vocab_size = 0;
  ReportOptions report;
};

class Sampler {
 public:
  Sampler(const SampleOptions& options, const Globals& globals)
      : options_(options),
        session_(globals),
        on_device_(session_.gpu()),
        logits_(open_logits(options.input)),
        columns_(used_columns(options.vocab_size, logits_)),
        results_(logits_.leading(), logits_.rows()) {
    const std::int64_t inner = options.draws > 1 ? options.draws : 0;
    token_ = &results_.add("token", DType::i64, inner);
    logprob_ = &results_.add("logprob", DType::f32, inner);
    raw_logprob_ = &results_.add("raw_logprob", DType::f32, inner);
    lse_ = &results_.add("lse", DType::f32);
    entropy_ = &results_.add("entropy", DType::f32);
    row_status_ = &results_.add(kRowStatusName, DType::i32);
    check_output(options.report, results_);
  }

  void run() {
    for_each_block({&logits_}, "sampling", session_.quiet(),
                   [&](const RowBlock& block) { sample_block(block); });
    report(results_, summary(), options_.report);
    fail_on_bad_rows({{logits_, std::get<std::vector<std::int32_t>>(row_status_->values)}},
                     columns_);
  }

 private:
  void sample_block(const RowBlock& block) {
    // Row r draws at offset + r, or all rows of a file would share one uniform.
    offsets_.resize(static_cast<std::size_t>(block.rows));
    for (std::size_t i = 0; i < offsets_.size(); ++i)
      offsets_[i] =
          static_cast<std::int64_t>(options_.offset + static_cast<std::uint64_t>(block.first) + i);
    const auto out = [&](Column* column) {
      return on_device_.out(column->block(block.first, block.rows));
    };
    SampleArgs args{.logits = on_device_.in(block.logits[0]),
                    .token = out(token_),
                    .logprob = out(logprob_),
                    .raw_logprob = out(raw_logprob_),
                    .lse = out(lse_),
                    .entropy = out(entropy_),
                    .row_status = out(row_status_),
                    .temperature = options_.temperature,
                    .seed = options_.seed,
                    .offset = on_device_.in(Tensor::of(offsets_.data(), {block.rows})),
                    .draws = options_.draws,
                    .vocab_size = columns_};
    if (options_.u) {
      const std::int64_t shape[] = {block.rows, options_.draws};
      const std::int64_t strides[] = {0, 0};
      const std::size_t rank = options_.draws > 1 ? 2 : 1;
      args.u = on_device_.in(Tensor::strided(&*options_.u, DType::f64, std::span(shape, rank),
                                             std::span(strides, rank)));
    }
    check(logsum::sample(args, session_.context()), logits_.label);
    on_device_.finish();
  }

  Summary summary() const {
    Summary s;
    const auto statuses = count_statuses(*row_status_, results_.rows());
    const double logprob = mean_of_ok(*logprob_, *row_status_);
    const double raw_logprob = mean_of_ok(*raw_logprob_, *row_status_);
    const double entropy = mean_of_ok(*entropy_, *row_status_);
    s.json = {{"rows", results_.rows()},
              {"draws", options_.draws},
              {"mean_logprob", finite_or_null(logprob)},
              {"mean_raw_logprob", finite_or_null(raw_logprob)},
              {"mean_entropy", finite_or_null(entropy)},
              {"rows_by_status", statuses},
              {"temperature", as_written(options_.temperature)},
              {"vocab_size", columns_}};
    s.facts.add("rows", describe_statuses(statuses));
    s.facts.add("mean log-prob", fmt::format("{}  (raw {})", number(logprob), number(raw_logprob)));
    s.facts.add("mean entropy", number(entropy) + " nats");
    if (options_.u) {
      s.json["u"] = *options_.u;
      s.facts.add("drawn with", fmt::format("u = {}", *options_.u));
    } else if (options_.temperature > 0) {
      s.json["seed"] = options_.seed;
      s.json["offset"] = options_.offset;
      s.facts.add("drawn with",
                  fmt::format("seed {}, offset {} + row", options_.seed, options_.offset));
    }
    return s;
  }

  SampleOptions options_;
  Session session_;
  OnDevice on_device_;
  Input logits_;
  std::int64_t columns_;
  std::vector<std::int64_t> offsets_;
  Results results_;
  Column *token_, *logprob_, *raw_logprob_, *lse_, *entropy_, *row_status_;
};

}  // namespace

void add_sample(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("sample", "Draws tokens from each row, with their log-probs");
  auto o = std::make_shared<SampleOptions>();
  command->add_option("INPUT", o->input, "Logits [..., V]: FILE or FILE:TENSOR")
      ->type_name("")
      ->required();
  add_parsed(
      *command, "--temperature", "X",
      [o](const std::string& t) { o->temperature = parse_temperature(t, Zero::is_greedy); },
      "Divides all logits; 0 takes the argmax (default 1)");
  add_parsed(
      *command, "--seed", "S", [o](const std::string& t) { o->seed = parse_u64("--seed", t); },
      "Seed of the random numbers (default 0)");
  add_parsed(
      *command, "--offset", "O",
      [o](const std::string& t) { o->offset = parse_u64("--offset", t); },
      "Position in the stream; row r is at O + r (default 0)");
  add_parsed(
      *command, "--u", "X", [o](const std::string& t) { o->u = parse_uniform(t); },
      "Uniform in [0, 1) for all draws, instead of a seed");
  add_parsed(
      *command, "--draws", "N",
      [o](const std::string& t) { o->draws = parse_i64("--draws", t, 1, INT32_MAX); },
      "Draws per row (default 1)");
  add_parsed(
      *command, "--vocab-size", "N",
      [o](const std::string& t) { o->vocab_size = parse_i64("--vocab-size", t, 1, INT32_MAX); },
      "Columns from N on are padding (default: none is)");
  add_report_options(*command, o->report);
  command->footer(
      "Columns: token, logprob (of the distribution drawn from), raw_logprob (at\n"
      "temperature 1), lse, entropy, row_status. logprob is bit for bit what `logsum\n"
      "score` gives for that token. With --draws N > 1, token, logprob and raw_logprob\n"
      "have a last dimension N (in JSON: are lists). In JSON null stands for NaN and\n"
      "infinities: row_status tells why.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      o->report.quiet = globals.quiet;
      Sampler(*o, globals).run();
      return 0;
    };
  });
}

}  // namespace logsum::cli
