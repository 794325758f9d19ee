// SPDX-License-Identifier: Apache-2.0
// logsum demo: a rollout and its scoring on real logits. Each row's token is drawn from the policy,
// scored again, and the two log-probs are compared to the bit: a policy's ratio against its own
// rollout is exactly 1.
#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cmath>

#include "commands.hpp"
#include "errors.hpp"
#include "logsum/approx_kl.hpp"
#include "logsum/sample.hpp"
#include "logsum/token_logprobs.hpp"
#include "numbers.hpp"
#include "on_device.hpp"
#include "row_blocks.hpp"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

struct DemoOptions {
  std::string file = "examples/data/demo_logits.safetensors";
  float temperature = 1;
  std::uint64_t seed = 0;
  bool json = false;
};

constexpr std::int64_t kIgnoreIndex = -100;

struct Demo {
  Results results;
  std::int64_t columns;
  DType dtype;
  std::int64_t agreeing = 0;
};

Demo run(const DemoOptions& options, Session& session) {
  const Input policy = open_logits(options.file + ":policy_logits");
  const Input reference = open_logits(":reference_logits", &policy);
  std::string label;
  std::vector<std::int64_t> targets = read_targets(std::nullopt, policy, label);
  if (reference.array.shape != policy.array.shape)
    throw DataError(fmt::format("{}: must have the shape of {}", reference.label, policy.label));

  Demo demo{Results(policy.leading(), policy.rows()), policy.columns(), policy.array.dtype};
  Results& r = demo.results;
  Column& sampled = r.add("sampled", DType::i64);
  Column& logprob = r.add("logprob", DType::f32);
  Column& target = r.add("target", DType::i64);
  Column& target_logprob = r.add("target_logp", DType::f32);
  Column& ref_logprob = r.add("ref_logp", DType::f32);
  Column& k3 = r.add("k3_kl", DType::f32);
  Column& rank = r.add("rank", DType::i64);
  Column& entropy = r.add("entropy", DType::f32);
  target.values = targets;
  check_targets(targets, label, policy, policy.columns(), kIgnoreIndex);
  std::vector<float> scored(targets.size());
  std::vector<std::int32_t> status(targets.size()), ref_status(targets.size());
  std::vector<std::int64_t> offsets(targets.size());
  for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<std::int64_t>(i);

  OnDevice on_device(session.gpu());
  for_each_block({&policy, &reference}, "scoring", session.quiet(), [&](const RowBlock& block) {
    const std::int64_t n = block.rows;
    const Context context = session.context();
    const auto in = [&](const auto& values) {
      return on_device.in(Tensor::of(values.data() + block.first, {n}));
    };
    const auto out = [&](auto& values) {
      return on_device.out(Tensor::of(values.data() + block.first, {n}));
    };
    const auto rows = [&](Column& column) { return on_device.out(column.block(block.first, n)); };
    const Tensor policy_logits = on_device.in(block.logits[0]);
    const Tensor tokens = rows(sampled), given = in(targets);
    const Tensor of_policy = rows(target_logprob), of_reference = rows(ref_logprob);
    check(sample({.logits = policy_logits,
                  .token = tokens,
                  .logprob = rows(logprob),
                  .temperature = options.temperature,
                  .seed = options.seed,
                  .offset = in(offsets)},
                 context),
          policy.label);
    check(token_logprobs({.logits = policy_logits,
                          .targets = tokens,
                          .logprobs = out(scored),
                          .temperature = options.temperature},
                         context),
          policy.label);
    check(token_logprobs({.logits = policy_logits,
                          .targets = given,
                          .logprobs = of_policy,
                          .entropy = rows(entropy),
                          .rank = rows(rank),
                          .row_status = out(status),
                          .temperature = options.temperature,
                          .ignore_index = kIgnoreIndex},
                         context),
          policy.label);
    check(token_logprobs({.logits = on_device.in(block.logits[1]),
                          .targets = given,
                          .logprobs = of_reference,
                          .row_status = out(ref_status),
                          .temperature = options.temperature,
                          .ignore_index = kIgnoreIndex},
                         context),
          reference.label);
    check(approx_kl(
              {.per_token_logps = of_policy, .ref_per_token_logps = of_reference, .k3 = rows(k3)},
              context),
          policy.label);
    on_device.finish();
  });
  fail_on_bad_rows({{policy, status}, {reference, ref_status}}, policy.columns());
  for (std::size_t i = 0; i < scored.size(); ++i) {
    demo.agreeing += std::bit_cast<std::uint32_t>(scored[i]) ==
                     std::bit_cast<std::uint32_t>(r.floats(logprob)[i]);
  }
  return demo;
}

int print(const DemoOptions& options, const Demo& demo) {
  const Results& r = demo.results;
  const bool agree = demo.agreeing == r.rows();
  if (options.json) {
    write_stdout(rows_to_json(
        r, {{"rows", r.rows()}, {"rows_with_equal_bits", demo.agreeing}, {"bit_for_bit", agree}}));
  } else {
    const bool colour = may_use_colour(STDOUT_FILENO);
    write_stdout(fmt::format(
        "{} rows of {} {} logits at temperature {}, tokens drawn with seed {}\n\n", r.rows(),
        demo.columns, to_string(demo.dtype), options.temperature, options.seed));
    write_stdout(
        to_text(rows_to_table(r, false, &short_number), terminal_width(STDOUT_FILENO), colour));
    const std::string line =
        agree ? fmt::format(
                    "The sampler's and the scorer's log-probs agree bit for bit in all {} "
                    "rows.",
                    r.rows())
              : fmt::format("The sampler's and the scorer's log-probs DIFFER in {} of {} rows.",
                            r.rows() - demo.agreeing, r.rows());
    write_stdout(fmt::format("\n{}\n", styled(line, agree ? Style::good : Style::warning, colour)));
  }
  flush_stdout();
  return agree ? 0 : kExitData;
}

}  // namespace

void add_demo(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("demo", "Samples and scores real logits, and compares the bits");
  auto o = std::make_shared<DemoOptions>();
  command->add_option("FILE", o->file, "Default: examples/data/demo_logits.safetensors")
      ->type_name("");
  add_parsed(
      *command, "--temperature", "X",
      [o](const std::string& t) { o->temperature = parse_temperature(t, Zero::refused); },
      "Divides all logits (default 1)");
  add_parsed(
      *command, "--seed", "S", [o](const std::string& t) { o->seed = parse_u64("--seed", t); },
      "Seed of the random numbers (default 0)");
  command->add_flag("--json", o->json, "JSON on stdout");
  command->footer(
      "FILE holds policy_logits, reference_logits and targets.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      Session session(globals);
      return print(*o, run(*o, session));
    };
  });
}

}  // namespace logsum::cli
