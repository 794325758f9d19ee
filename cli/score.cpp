// SPDX-License-Identifier: Apache-2.0
// logsum score: what one read of the logits says of given tokens, and how far a policy has moved
// from its reference.
#include <fmt/format.h>

#include <cmath>

#include "commands.hpp"
#include "errors.hpp"
#include "io/file_error.hpp"
#include "logsum/approx_kl.hpp"
#include "logsum/token_logprobs.hpp"
#include "numbers.hpp"
#include "on_device.hpp"
#include "row_blocks.hpp"

namespace logsum::cli {
namespace {

struct ScoreOptions {
  std::string input;
  std::optional<std::string> targets, reference;
  float temperature = 1;
  std::int64_t vocab_size = 0;
  std::int64_t ignore_index = -100;
  std::int64_t top = 0;
  ReportOptions report;
};

Input open_reference(const std::string& text, const Input& logits, std::int64_t vocab_size) {
  Input reference = open_logits(text, &logits);
  if (reference.leading() != logits.leading() ||
      (vocab_size == 0 && reference.columns() != logits.columns()))
    throw DataError(fmt::format("{}: reference has shape {}, must be that of {}, {}",
                                reference.label, io::shape_text(reference.array.shape),
                                logits.label, io::shape_text(logits.array.shape)));
  used_columns(vocab_size, reference);
  return reference;
}

class Score {
 public:
  Score(const ScoreOptions& options, const Globals& globals)
      : options_(options),
        session_(globals),
        on_device_(session_.gpu()),
        logits_(open_logits(options.input)),
        columns_(used_columns(options.vocab_size, logits_)),
        targets_(read_targets(options.targets, logits_, targets_label_)),
        results_(logits_.leading(), logits_.rows()) {
    check_targets(targets_, targets_label_, logits_, columns_, options_.ignore_index);
    if (options.reference)
      reference_ = open_reference(*options.reference, logits_, options.vocab_size);
    if (options.top > columns_)
      throw UsageError(
          fmt::format("--top is {}, must be in [1, {}] (the vocabulary)", options.top, columns_));
    results_.add("target", DType::i64).values = targets_;
    logprob_ = &results_.add("logprob", DType::f32);
    entropy_ = &results_.add("entropy", DType::f32);
    lse_ = &results_.add("lse", DType::f32);
    rank_ = &results_.add("rank", DType::i64);
    argmax_ = &results_.add("argmax", DType::i64);
    row_status_ = &results_.add(kRowStatusName, DType::i32);
    if (reference_) {
      ref_logprob_ = &results_.add("ref_logprob", DType::f32);
      ref_logprob_->with_next = true;
      for (Column*& k : k_) k = &results_.add(fmt::format("k{}", &k - k_ + 1), DType::f32);
      k_[0]->with_next = k_[1]->with_next = true;
    }
    if (options.top > 0) {
      top_ids_ = &results_.add("top_ids", DType::i64, options.top);
      top_logprobs_ = &results_.add("top_logprobs", DType::f32, options.top);
    }
    check_output(options.report, results_);
  }

  void run() {
    if (reference_) ref_status_.resize(targets_.size());
    const auto body = [&](const RowBlock& block) {
      const Tensor logprob = score_block(block);
      if (reference_) compare_with_reference(block, logprob);
      on_device_.finish();
    };
    if (reference_)
      for_each_block({&logits_, &*reference_}, "scoring", session_.quiet(), body);
    else
      for_each_block({&logits_}, "scoring", session_.quiet(), body);

    const auto status = std::get<std::vector<std::int32_t>>(row_status_->values);
    if (reference_) merge_statuses();
    report(results_, summary(), options_.report);
    if (reference_)
      fail_on_bad_rows({{logits_, status}, {*reference_, ref_status_}}, columns_);
    else
      fail_on_bad_rows({{logits_, status}}, columns_);
  }

 private:
  Tensor out(Column* column, const RowBlock& block) {
    return column != nullptr ? on_device_.out(column->block(block.first, block.rows)) : Tensor();
  }

  TokenLogprobsArgs arguments(const Tensor& logits, const RowBlock& block) {
    return {.logits = on_device_.in(logits),
            .targets = on_device_.in(Tensor::of(targets_.data() + block.first, {block.rows})),
            .temperature = options_.temperature,
            .ignore_index = options_.ignore_index,
            .vocab_size = columns_};
  }

  Tensor score_block(const RowBlock& block) {
    TokenLogprobsArgs args = arguments(block.logits[0], block);
    args.logprobs = out(logprob_, block);
    args.lse = out(lse_, block);
    args.entropy = out(entropy_, block);
    args.argmax = out(argmax_, block);
    args.rank = out(rank_, block);
    args.top_ids = out(top_ids_, block);
    args.top_logprobs = out(top_logprobs_, block);
    args.row_status = out(row_status_, block);
    check(token_logprobs(args, session_.context()), logits_.label);
    return args.logprobs;
  }

  void compare_with_reference(const RowBlock& block, const Tensor& logprob) {
    TokenLogprobsArgs args = arguments(block.logits[1], block);
    args.logprobs = out(ref_logprob_, block);
    args.row_status = on_device_.out(Tensor::of(ref_status_.data() + block.first, {block.rows}));
    check(token_logprobs(args, session_.context()), reference_->label);
    check(approx_kl({.per_token_logps = logprob,
                     .ref_per_token_logps = args.logprobs,
                     .k1 = out(k_[0], block),
                     .k2 = out(k_[1], block),
                     .k3 = out(k_[2], block)},
                    session_.context()),
          logits_.label);
  }

  // A row whose reference has no distribution isn't ok.
  void merge_statuses() {
    auto& status = std::get<std::vector<std::int32_t>>(row_status_->values);
    for (std::size_t i = 0; i < status.size(); ++i)
      if (static_cast<RowStatus>(status[i]) == RowStatus::ok) status[i] = ref_status_[i];
  }

  Summary summary() const {
    Summary s;
    const auto statuses = count_statuses(*row_status_, results_.rows());
    const std::int64_t scored = statuses.value("ok", std::int64_t{0});
    const double logprob = mean_of_ok(*logprob_, *row_status_);
    const double entropy = mean_of_ok(*entropy_, *row_status_);
    s.json = {{"rows", results_.rows()},
              {"scored", scored},
              {"perplexity", finite_or_null(std::exp(-logprob))},
              {"mean_logprob", finite_or_null(logprob)},
              {"mean_entropy", finite_or_null(entropy)}};
    s.facts.add("rows", describe_statuses(statuses));
    s.facts.add("perplexity",
                fmt::format("{}  (mean log-prob {})", number(std::exp(-logprob)), number(logprob)));
    s.facts.add("mean entropy", number(entropy) + " nats");
    if (reference_) {
      add_mean_kl(s);
    }
    s.json["rows_by_status"] = statuses;
    s.json["temperature"] = as_written(options_.temperature);
    s.json["vocab_size"] = columns_;
    return s;
  }

  // Of the rows that are ok. The means are finite where a row's k3 is beyond f32.
  void add_mean_kl(Summary& s) const {
    const auto& statuses = std::get<std::vector<std::int32_t>>(row_status_->values);
    std::vector<std::uint8_t> mask;
    for (const std::int32_t status : statuses)
      mask.push_back(static_cast<RowStatus>(status) == RowStatus::ok);
    float means[3] = {};
    std::int64_t overflows = 0;
    const std::int64_t rows = results_.rows();
    check(
        approx_kl({.per_token_logps = Tensor::of(results_.floats(*logprob_).data(), {rows}),
                   .ref_per_token_logps = Tensor::of(results_.floats(*ref_logprob_).data(), {rows}),
                   .completion_mask = Tensor::of(mask.data(), {rows}),
                   .mean_k1 = Tensor::of(&means[0], {1}),
                   .mean_k2 = Tensor::of(&means[1], {1}),
                   .mean_k3 = Tensor::of(&means[2], {1}),
                   .overflow_count = Tensor::of(&overflows, {1})}),
        logits_.label);
    std::string text;
    for (int i = 0; i < 3; ++i) {
      const double mean = static_cast<double>(means[i]);
      s.json["mean_" + k_[i]->name] = finite_or_null(mean);
      text += fmt::format("{}{} {}", i ? ", " : "", k_[i]->name, number(mean));
    }
    s.json["k3_overflows"] = overflows;
    text += " nats";
    if (overflows > 0)
      text += fmt::format("; k3 is beyond f32 in {} row{}", overflows, overflows > 1 ? "s" : "");
    s.facts.add("mean KL", text);
  }

  ScoreOptions options_;
  Session session_;
  OnDevice on_device_;
  Input logits_;
  std::int64_t columns_;
  std::string targets_label_;
  std::vector<std::int64_t> targets_;
  std::optional<Input> reference_;
  std::vector<std::int32_t> ref_status_;
  Results results_;
  Column *logprob_, *entropy_, *lse_, *rank_, *argmax_, *row_status_;
  Column *ref_logprob_ = nullptr, *k_[3] = {}, *top_ids_ = nullptr, *top_logprobs_ = nullptr;
};

}  // namespace

void add_score(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("score", "Log-probs, entropy, lse, rank of given tokens; KL");
  auto o = std::make_shared<ScoreOptions>();
  command->add_option("INPUT", o->input, "Logits [..., V]: FILE or FILE:TENSOR")
      ->type_name("")
      ->required();
  command->add_option("--targets", o->targets, "Tokens [...] (default: `targets` of INPUT's file)")
      ->type_name("INPUT");
  command
      ->add_option("--reference", o->reference,
                   "A reference's logits: adds ref_logprob, k1, k2, k3")
      ->type_name("INPUT");
  add_parsed(
      *command, "--temperature", "X",
      [o](const std::string& t) { o->temperature = parse_temperature(t, Zero::refused); },
      "Divides all logits (default 1)");
  add_parsed(
      *command, "--vocab-size", "N",
      [o](const std::string& t) { o->vocab_size = parse_i64("--vocab-size", t, 1, INT32_MAX); },
      "Columns from N on are padding (default: none is)");
  add_parsed(
      *command, "--ignore-index", "I",
      [o](const std::string& t) {
        o->ignore_index = parse_i64("--ignore-index", t, INT64_MIN, INT64_MAX);
      },
      "Rows with this target don't count (default -100)");
  add_parsed(
      *command, "--top", "N",
      [o](const std::string& t) { o->top = parse_i64("--top", t, 1, INT32_MAX); },
      "Adds top_ids, top_logprobs: the N most likely tokens");
  add_report_options(*command, o->report);
  command->footer(
      "Columns: target, logprob, entropy, lse, rank (1 is the top), argmax, row_status;\n"
      "with --reference also ref_logprob, k1 = logprob - ref_logprob, k2 = k1^2/2 and\n"
      "k3 = exp(-k1) - 1 + k1. All in nats, at the temperature (of both policies).\n"
      "Means are over the rows that are ok. In JSON null stands for NaN and infinities:\n"
      "row_status tells why; in a row that is ok, a logprob of null is -inf.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      o->report.quiet = globals.quiet;
      Score(*o, globals).run();
      return 0;
    };
  });
}

}  // namespace logsum::cli
