// SPDX-License-Identifier: Apache-2.0
// logsum bench's options; the benchmark itself is bench.cpp.
#include "bench.hpp"
#include "commands.hpp"
#include "numbers.hpp"

namespace logsum::cli {

void add_bench(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "Times the operations on this machine, beside its limits");
  auto o = std::make_shared<BenchOptions>();
  command
      ->add_option_function<std::vector<std::string>>(
          "--vocab",
          [o](const std::vector<std::string>& texts) {
            o->vocab.clear();
            for (const std::string& t : texts)
              o->vocab.push_back(parse_i64("--vocab", t, 1, INT32_MAX));
          },
          "Vocabulary sizes (default 131072)")
      ->type_name("N")
      ->delimiter(',');
  add_parsed(
      *command, "--rows", "N",
      [o](const std::string& t) { o->rows = parse_i64("--rows", t, 1, INT32_MAX); },
      "Rows (default: as many as make 256 MB of f32)");
  add_parsed(
      *command, "--repeats", "N",
      [o](const std::string& t) {
        o->repeats = static_cast<int>(parse_i64("--repeats", t, 1, 10000));
      },
      "Timed runs, of which the median counts (default 7)");
  command->add_option("--filter", o->filter, "Only operations whose name contains this")
      ->type_name("TEXT");
  command->add_flag("--json", o->json, "JSON on stdout");
  command->footer("Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      o->simd = globals.simd;
      o->threads = globals.threads;
      return run_bench(*o);
    };
  });
}

}  // namespace logsum::cli
