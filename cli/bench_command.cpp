// SPDX-License-Identifier: Apache-2.0
// logsum bench's options; the benchmark itself is bench.cpp.
#include "bench.hpp"
#include "commands.hpp"
#include "errors.hpp"
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
          "Vocabulary sizes (default 131072; GPU: a table)")
      ->type_name("N")
      ->delimiter(',');
  add_parsed(
      *command, "--rows", "N",
      [o](const std::string& t) { o->rows = parse_i64("--rows", t, 1, INT32_MAX); },
      "Rows (default: as make 256 MB of f32; GPU: a table)");
  add_parsed(
      *command, "--repeats", "N",
      [o](const std::string& t) {
        o->repeats = static_cast<int>(parse_i64("--repeats", t, 1, 10000));
      },
      "Timed runs, of which the median counts (default 7, GPU 25)");
  command->add_option("--filter", o->filter, "Only operations whose name contains this")
      ->type_name("TEXT");
  add_parsed(
      *command, "--data", "KIND", [o](const std::string& t) { o->data = parse_bench_data(t); },
      "normal (default), peaked, flat or masked (95 % -inf)");
  command->add_flag("--quick", o->quick, "GPU: one shape of each kind of operation");
  command->add_flag("--json", o->json, "JSON on stdout");
  command->footer(
      "With --device cuda: a table of shapes; --rows and --vocab keep those that have\n"
      "them, or together make a shape of their own. Calls are queued on a stream, each\n"
      "on another input (cold) or always on the same (warm), then captured in a CUDA\n"
      "graph (cold). \"limit\": a bare read of the logits, or a device copy that moves as\n"
      "many bytes as the call must, in a graph. Both settings of --determinism are\n"
      "measured: \"costs\" is what cross-device adds in a graph. \"spread\": the slowest\n"
      "kind of --data divided by the fastest, in a graph; kinds that weren't asked for\n"
      "with at most 9 repeats.\n"
      "Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      o->simd = globals.simd;
      o->threads = globals.threads;
      o->device = globals.device;
      if (o->device.type == DeviceType::cuda) return run_gpu_bench(*o);
      if (o->quick) throw UsageError("--quick is for --device cuda");
      return run_bench(*o);
    };
  });
}

}  // namespace logsum::cli
