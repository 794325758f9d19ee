// SPDX-License-Identifier: Apache-2.0
// logsum compare: how far the log-probs that a rollout's engine gave its tokens are from those that
// the trainer gives them, and what that does to ratios, clipping and importance weights.
#include "compare.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "commands.hpp"
#include "errors.hpp"
#include "io/atomic_file.hpp"
#include "io/file_error.hpp"
#include "logsum/approx_kl.hpp"
#include "logsum/importance_weights.hpp"
#include "numbers.hpp"
#include "on_device.hpp"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

struct CompareOptions {
  PairsOptions pairs;
  std::vector<std::string> epsilons;
  double clip_min = 0, clip_max = 2;
  std::int64_t worst = 10;
  std::optional<std::string> html;
  bool json = false;
};

// What the library's operations say of the pairs.
class Operations {
 public:
  Operations(const Pairs& pairs, Session& session)
      : pairs_(pairs), session_(session), on_device_(session.gpu()) {
    for (const int side : {0, 1})
      for (std::size_t i = 0; i < pairs.counts.size(); ++i)  // what doesn't count may be beyond f32
        logps_[side].push_back(pairs.counts[i] != 0 ? static_cast<float>(pairs.logps[side][i])
                                                    : 0.0f);
  }

  KlEstimates kl() {
    KlEstimates out;
    const auto one = [&](auto& value) { return on_device_.out(Tensor::of(&value, {1})); };
    check(approx_kl({.per_token_logps = tokens(logps_[0]),
                     .ref_per_token_logps = tokens(logps_[1]),
                     .completion_mask = tokens(pairs_.counts),
                     .mean_k1 = one(out.k[0]),
                     .mean_k2 = one(out.k[1]),
                     .mean_k3 = one(out.k[2]),
                     .overflow_count = one(out.overflows)},
                    session_.context()),
          pairs_.labels[0]);
    on_device_.finish();
    return out;
  }

  WeightsSummary weights(ImportanceLevel level, ImportanceMode mode, const Comparison& c) {
    WeightsSummary out;
    out.mode = fmt::format("{}_{}", level == ImportanceLevel::token ? "token" : "sequence",
                           mode == ImportanceMode::truncate ? "truncate" : "mask");
    std::vector<float> weights(pairs_.counts.size());
    const auto one = [&](auto& value) { return on_device_.out(Tensor::of(&value, {1})); };
    check(importance_weights({.old_per_token_logps = tokens(logps_[1]),
                              .sampling_per_token_logps = tokens(logps_[0]),
                              .completion_mask = tokens(pairs_.counts),
                              .weights = on_device_.out(
                                  Tensor::contiguous(weights.data(), DType::f32, pairs_.shape)),
                              .effective_sample_size = one(out.effective_sample_size),
                              .mean_weight = one(out.mean),
                              .clipped_fraction = one(out.clipped),
                              .level = level,
                              .mode = mode,
                              .clip_min = c.clip_min,
                              .clip_max = c.clip_max},
                             session_.context()),
          pairs_.labels[0]);
    on_device_.finish();
    return out;
  }

 private:
  template <class T>
  Tensor tokens(const std::vector<T>& values) {
    return on_device_.in(
        Tensor::contiguous(const_cast<T*>(values.data()), dtype_of<T>, pairs_.shape));
  }

  const Pairs& pairs_;
  Session& session_;
  OnDevice on_device_;
  std::vector<float> logps_[2];
};

Comparison compare(const CompareOptions& options, Session& session) {
  if (options.clip_min > options.clip_max)
    throw UsageError(fmt::format("--clip-min is {}, must be at most --clip-max, {}",
                                 options.clip_min, options.clip_max));
  session.gpu();  // says at once that there is none
  std::vector<ClipBand> bands;
  for (const std::string& text : options.epsilons)
    bands.push_back(parse_clip_band("--epsilon", text));
  if (bands.empty()) bands.push_back({0.2, 0.2});
  if (options.html) io::AtomicFile probe(*options.html);  // created, and gone again

  Comparison c;
  c.pairs = read_pairs(options.pairs);
  // The pictures show some even where the tables list none.
  c.stats = compare_stats(c.pairs, bands, std::max<std::int64_t>(options.worst, 10));
  c.worst = options.worst;
  c.clip_min = static_cast<float>(options.clip_min);
  c.clip_max = static_cast<float>(options.clip_max);
  Operations operations(c.pairs, session);
  c.kl = operations.kl();
  for (const auto level : {ImportanceLevel::token, ImportanceLevel::sequence})
    for (const auto mode : {ImportanceMode::truncate, ImportanceMode::mask})
      if (level == ImportanceLevel::token || c.stats.sequences)
        c.weights.push_back(operations.weights(level, mode, c));
  c.verdict = judge(c.pairs, c.stats);
  return c;
}

// The page first: if it can't be written, nothing is printed.
void deliver(const Comparison& c, const CompareOptions& options, bool quiet) {
  if (options.html) {
    io::AtomicFile file(*options.html);
    file.write(to_html(c));
    file.commit();
  }
  if (options.json) {
    write_stdout(to_json(c).dump(2) + '\n');
  } else if (!quiet) {
    write_stdout(to_text(c, terminal_width(STDOUT_FILENO), may_use_colour(STDOUT_FILENO)));
    if (options.html)
      write_stdout(fmt::format("\n  wrote {}\n", io::printable(*options.html, 4096)));
  }
  flush_stdout();
  if (c.pairs.left_out > 0)
    throw DataError(fmt::format("{} of {} tokens are not finite and were left out: {}",
                                c.pairs.left_out, c.pairs.size(), describe_not_finite(c.pairs)));
}

void add_inputs(CLI::App& command, PairsOptions& o) {
  command.add_option("ROLLOUT", o.rollout, "Log-probs [T] or [B, T] of the engine that sampled")
      ->type_name("")
      ->required();
  command.add_option("TRAINER", o.trainer, "The same tokens' log-probs in the trainer")
      ->type_name("")
      ->required();
  command.add_option("--rollout-name", o.rollout_name, "The tensor of ROLLOUT's file")
      ->type_name("NAME");
  command.add_option("--trainer-name", o.trainer_name, "The tensor of TRAINER's file")
      ->type_name("NAME");
  command.add_option("--mask", o.mask, "0: the token is left out (default: all count)")
      ->type_name("INPUT");
  command.add_option("--tokens", o.tokens, "The tokens' ids, for the list of the worst")
      ->type_name("INPUT");
}

}  // namespace

void add_compare(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("compare", "Two engines' log-probs of the same tokens: how far apart");
  auto o = std::make_shared<CompareOptions>();
  add_inputs(*command, o->pairs);
  command
      ->add_option("--epsilon", o->epsilons, "Counts ratios outside [1-LOW, 1+HIGH] (default 0.2)")
      ->type_name("LOW[,HIGH]")
      ->allow_extra_args(false);
  add_parsed(
      *command, "--clip-min", "X",
      [o](const std::string& t) { o->clip_min = parse_number("--clip-min", t, 0, 1e30); },
      "Importance weights' lower bound (default 0)");
  add_parsed(
      *command, "--clip-max", "X",
      [o](const std::string& t) { o->clip_max = parse_number("--clip-max", t, 0, 1e30); },
      "and their upper one (default 2)");
  add_parsed(
      *command, "--worst", "N",
      [o](const std::string& t) { o->worst = parse_i64("--worst", t, 0, INT32_MAX); },
      "Lists the N tokens that differ most (default 10)");
  command->add_option("--html", o->html, "Also a page with pictures, in one file")
      ->type_name("OUT");
  command->add_flag("--json", o->json, "JSON on stdout");
  command->footer(
      "ROLLOUT and TRAINER are FILE or FILE:TENSOR, of f32, f16, bf16 or f64. Without\n"
      "a name: the tensor `logprob`, which score and sample write, else the file's only\n"
      "floating tensor with one or two dimensions. ratio = exp(trainer - rollout); k1,\n"
      "k2, k3 estimate KL(rollout || trainer). Tokens that are NaN or infinite are left\n"
      "out and named, and the exit status is 1. Rules of the verdict: docs/compare.md.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      Session session(globals);
      deliver(compare(*o, session), *o, globals.quiet);
      return 0;
    };
  });
}

}  // namespace logsum::cli
