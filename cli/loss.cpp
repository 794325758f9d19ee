// SPDX-License-Identifier: Apache-2.0
// logsum loss: what policy_loss says of a batch in files, token by token, and its gradient.
#include "loss.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "commands.hpp"
#include "errors.hpp"
#include "io/atomic_file.hpp"
#include "io/file_error.hpp"
#include "numbers.hpp"
#include "on_device.hpp"
#include "row_blocks.hpp"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

// The library says what is out of range, of a token that is nobody's: a mistake on the command
// line costs no read of the logits.
void check_values(const PolicyOptions& policy, const LossOptions& options) {
  float zero = 0;
  std::int64_t target = 0;
  const Tensor one = Tensor::of(&zero, {1});
  const Status status = policy_loss({.logits = Tensor::of(&zero, {1, 1}),
                                     .targets = Tensor::of(&target, {1}),
                                     .advantages = one,
                                     .ref_per_token_logps = one,
                                     .options = policy,
                                     .normalizer = options.normalizer,
                                     .entropy_normalizer = options.entropy_normalizer,
                                     .grad_scale = options.grad_scale});
  if (!status.ok()) throw UsageError(status.message());
}

// Whatever its name: a symbolic link or ./ before it is the same file.
bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  return std::filesystem::weakly_canonical(a, error) == std::filesystem::weakly_canonical(b, error);
}

void check_paths(const LossOptions& options, const Results& results) {
  check_output(options.report, results);
  if (!options.grad) return;
  if (options.report.output && is_same_file(*options.grad, *options.report.output))
    throw UsageError("--grad and --output name the same file");
  for (const std::string& file : options.files.files) {
    const std::size_t end = file.rfind(".safetensors:");
    if (is_same_file(*options.grad, end == file.npos ? file : file.substr(0, end + 12)))
      throw UsageError(fmt::format("--grad is {}, which is read: it must be another file",
                                   io::in_quotes(*options.grad)));
  }
  if (!options.grad->ends_with(".safetensors"))
    throw UsageError(
        fmt::format("--grad is {}, must end in .safetensors", io::in_quotes(*options.grad)));
  io::AtomicFile probe(*options.grad);  // created, and gone again
}

void check_reference(const Loss& loss) {
  if (loss.policy.beta != 0 && !loss.in.ref)
    throw UsageError(
        fmt::format("--beta is {}, but there are no log-probs of a reference: no tensor "
                    "\"ref_per_token_logps\" in {}, and no --ref",
                    loss.policy.beta, io::printable(loss.in.logits.file->path(), 4096)));
}

Loss prepare(const LossOptions& options) {
  const PolicyOptions policy = options.policy.options();
  check_values(policy, options);
  LossInputs in = read_loss_inputs(options.files);
  const std::int64_t columns = used_columns(options.vocab_size, in.logits);
  Results results(in.logits.leading(), in.logits.rows());
  Loss loss{
      .in = std::move(in), .columns = columns, .policy = policy, .results = std::move(results)};
  check_reference(loss);

  Results& r = loss.results;
  r.add("sequence", DType::i64).values = loss.in.sequence_of_row;
  r.add("target", DType::i64).values = loss.in.targets.values;
  loss.logprob = &r.add("logprob", DType::f32);
  if (loss.in.old) r.add("old_logprob", DType::f32).values = loss.in.old.values;
  if (loss.in.ref) r.add("ref_logprob", DType::f32).values = loss.in.ref.values;
  loss.advantage = &r.add("advantage", DType::f32);
  loss.ratio = &r.add("ratio", DType::f32);
  loss.kl = loss.in.ref ? &r.add("kl", DType::f32) : nullptr;
  loss.loss = &r.add("loss", DType::f32);
  loss.entropy = &r.add("entropy", DType::f32);
  loss.row_status = &r.add(kRowStatusName, DType::i32);
  check_paths(options, r);
  if (options.grad) {
    loss.gradient_dtype = options.grad_is_f32 ? DType::f32 : loss.in.logits.array.dtype;
    loss.gradient.resize(static_cast<std::size_t>(r.rows()) *
                         static_cast<std::size_t>(loss.in.logits.columns()) *
                         size_of(loss.gradient_dtype));
  }
  return loss;
}

void compute(Loss& loss, const LossOptions& options, Session& session) {
  OnDevice on_device(session.gpu());
  const SomeRows logits(loss.in.logits, 0, loss.results.rows());
  const std::vector<std::int64_t>& shape = loss.in.logits.array.shape;
  const std::vector<std::int64_t> tokens = loss.in.logits.leading();
  const auto in = [&](const auto& given) { return on_device.in(given.tensor()); };
  const auto column = [&](const Column* c) {
    return c == nullptr ? Tensor()
                        : on_device.out(
                              Tensor::contiguous(const_cast<void*>(c->data()), c->dtype(), tokens));
  };
  PolicyLossArgs args{.logits = on_device.in(
                          Tensor::contiguous(logits.tensor().data, logits.tensor().dtype, shape)),
                      .targets = in(loss.in.targets),
                      .advantages = in(loss.in.advantages),
                      .completion_mask = in(loss.in.mask),
                      .cu_seqlens = in(loss.in.cu_seqlens),
                      .old_per_token_logps = in(loss.in.old),
                      .ref_per_token_logps = in(loss.in.ref),
                      .sampling_per_token_logps = in(loss.in.sampling),
                      .importance_weights = in(loss.in.weights),
                      .entropy_mask = in(loss.in.entropy_mask),
                      .loss = on_device.out(Tensor::of(&loss.total, {1})),
                      .per_token_loss = column(loss.loss),
                      .per_token_logps = column(loss.logprob),
                      .per_token_kl = column(loss.kl),
                      .entropy = column(loss.entropy),
                      .metrics = on_device.out(Tensor::of(loss.metrics, {kPolicyMetrics})),
                      .row_status = column(loss.row_status),
                      .options = loss.policy,
                      .temperature = options.temperature,
                      .normalizer = options.normalizer,
                      .entropy_normalizer = options.entropy_normalizer,
                      .grad_scale = options.grad_scale,
                      .ignore_index = options.ignore_index,
                      .vocab_size = loss.columns};
  if (options.grad)
    args.grad_logits =
        on_device.out(Tensor::contiguous(loss.gradient.data(), loss.gradient_dtype, shape));
  check(policy_loss(args, session.context()), loss.in.logits.label);
  on_device.finish();
}

// A token's advantage, and the ratio of its own log-probs.
void complete(Loss& loss) {
  const LossInputs& in = loss.in;
  const bool is_of_tokens = in.advantages.shape == in.logits.leading();
  std::vector<float>& ratios = loss.results.floats(*loss.ratio);
  std::vector<float>& advantages = loss.results.floats(*loss.advantage);
  const std::vector<float>& logps = loss.results.floats(*loss.logprob);
  for (std::size_t row = 0; row < ratios.size(); ++row) {
    advantages[row] =
        in.advantages
            .values[is_of_tokens ? row : static_cast<std::size_t>(in.sequence_of_row[row])];
    const RowStatus status = status_of(*loss.row_status, static_cast<std::int64_t>(row));
    if (status == RowStatus::ignored) continue;
    const bool is_one = !in.old || logps[row] == in.old.values[row];
    ratios[row] = std::isnan(logps[row]) ? logps[row]
                  : is_one               ? 1.0f
                           : static_cast<float>(std::exp(static_cast<double>(logps[row]) -
                                                         static_cast<double>(in.old.values[row])));
  }
}

// The files first: if they can't be written, nothing is printed.
void deliver(const Loss& loss, const LossOptions& options) {
  if (options.report.output) write_tensors(loss.results, options.report);
  if (options.grad)
    write_tensors(loss.results,
                  {.name = "grad_logits",
                   .dtype = loss.gradient_dtype,
                   .shape = loss.in.logits.array.shape,
                   .data = loss.gradient.data(),
                   .bytes = loss.gradient.size()},
                  *options.grad);
  if (options.report.json) {
    write_stdout(rows_to_json(loss.results, summary_of(loss, options).json));
  } else if (!options.report.quiet) {
    write_stdout(
        to_text(loss, options, terminal_width(STDOUT_FILENO), may_use_colour(STDOUT_FILENO)));
    for (const auto& path : {options.report.output, options.grad})
      if (path) write_stdout(fmt::format("\n  wrote {}\n", io::printable(*path, 4096)));
  }
  flush_stdout();
  fail_on_bad_rows({{.logits = loss.in.logits,
                     .of_row = std::get<std::vector<std::int32_t>>(loss.row_status->values),
                     .lack = "no finite loss",
                     .targets = loss.in.targets.values}},
                   loss.columns);
}

void add_call_options(CLI::App& command, LossOptions& o) {
  constexpr double kMost = std::numeric_limits<double>::max();
  add_parsed(
      command, "--temperature", "X",
      [&o](const std::string& t) { o.temperature = parse_temperature(t, Zero::refused); },
      "Divides all logits (default 1)");
  const auto add_number = [&](const char* option, double& value, double min, const char* help) {
    add_parsed(
        command, option, "X",
        [option, &value, min](const std::string& t) {
          value = parse_number(option, t, min, kMost);
        },
        help);
  };
  add_number("--normalizer", o.normalizer, 0, "N of the aggregation (default 0: counted)");
  add_number("--entropy-normalizer", o.entropy_normalizer, 0, "N of the entropy's mean (likewise)");
  add_number("--grad-scale", o.grad_scale, -kMost, "Times the gradient (default 1)");
  add_parsed(
      command, "--vocab-size", "N",
      [&o](const std::string& t) { o.vocab_size = parse_i64("--vocab-size", t, 1, INT32_MAX); },
      "Columns from N on are padding (default: none is)");
  add_parsed(
      command, "--ignore-index", "I",
      [&o](const std::string& t) {
        o.ignore_index = parse_i64("--ignore-index", t, INT64_MIN, INT64_MAX);
      },
      "Tokens with this target don't count (default -100)");
}

void add_outputs(CLI::App& command, LossOptions& o) {
  add_parsed(
      command, "--worst", "N",
      [&o](const std::string& t) { o.worst = parse_i64("--worst", t, 0, INT32_MAX); },
      "Lists the N worst tokens (20, where there are over 40)");
  add_report_options(command, o.report, "All tokens in the table, in their order");
  command.add_option("--grad", o.grad, "Writes OUT.safetensors: grad_logits and all columns")
      ->type_name("OUT");
  command.add_flag("--grad-f32", o.grad_is_f32, "grad_logits as f32, not in the logits' dtype");
}

}  // namespace

void add_loss(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("loss", "A policy loss (GRPO ...) of a batch, and its gradient");
  auto o = std::make_shared<LossOptions>();
  o->files.add_to(*command);
  o->policy.add_to(*command);
  add_call_options(*command, *o);
  add_outputs(*command, *o);
  command->footer(
      "Logits are [..., T, V], or packed [N, V] with cu_seqlens; other tensors [..., T]\n"
      "or [N], advantages and weights also of sequences. A tensor that no option names\n"
      "is looked for in all FILEs by the `name` above; `none` leaves it out. Options of\n"
      "the loss are --loss-type's and --compat's where not given; docs/loss.md and\n"
      "docs/ops/policy_loss.md explain them. ratio is e^(logprob - old_logprob) of the\n"
      "token alone. Bad tokens are named, and the exit status is 1.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      o->report.quiet = globals.quiet;
      Session session(globals);
      session.gpu();  // says at once that there is none
      Loss loss = prepare(*o);
      compute(loss, *o, session);
      complete(loss);
      deliver(loss, *o);
      return 0;
    };
  });
}

}  // namespace logsum::cli
