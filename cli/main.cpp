// SPDX-License-Identifier: Apache-2.0
// The command-line tool: reads the command line, runs one subcommand, and turns every failure into
// one line on stderr and an exit code.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <new>
#include <stdexcept>

#include "commands.hpp"
#include "errors.hpp"
#include "io/file_error.hpp"
#include "logsum/version.h"
#include "numbers.hpp"

namespace logsum::cli {
namespace {

// A mapped file that another process shortens, or that lies on a failing disk, kills the reader
// with SIGBUS: say why.
void explain_sigbus() {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    constexpr char kText[] =
        "logsum: an input file could not be read to its end: it was shortened meanwhile, or the "
        "disk failed\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
    ::_exit(kExitData);
  };
  ::sigaction(SIGBUS, &action, nullptr);
}

void add_globals(CLI::App& app, Globals& globals) {
  add_parsed(
      app, "--device", "NAME", [&](const std::string& t) { globals.device = parse_device(t); },
      "cpu (default), cuda or cuda:N");
  add_parsed(
      app, "--determinism", "KIND",
      [&](const std::string& t) { globals.determinism = parse_determinism(t); },
      "per-device (default); cross-device: the CPU's bits");
  add_parsed(
      app, "--backend", "NAME", [&](const std::string& t) { globals.backend = parse_backend(t); },
      "cpu (default), or reference: float64, slow");
  add_parsed(
      app, "--simd", "TARGET", [&](const std::string& t) { globals.simd = parse_simd(t); },
      "SIMD target (default: the best one; see `logsum info`)");
  add_parsed(
      app, "--threads", "N", [&](const std::string& t) { globals.threads = parse_threads(t); },
      "Threads (default: all of the machine's)");
  app.add_flag("--quiet", globals.quiet, "No table and no progress bar");
}

std::string no_command(CLI::App& app) {
  const std::vector<std::string> extra = app.remaining();
  std::string text = extra.empty() ? "a command is needed: one of "
                                   : io::in_quotes(extra.front()) + " is no command, there are ";
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands)
    text += (command == commands.front() ? "" : ", ") + command->get_name();
  return text;
}

int run(int argc, char** argv) {
  CLI::App app("logsum: log-probabilities, sampling and diagnosis of LLM logits", "logsum");
  app.set_version_flag("--version", "logsum " LOGSUM_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.get_formatter()->column_width(22);
  app.footer(
      "INPUT is FILE or FILE:TENSOR, safetensors or NPY, of f32, f16 or bf16. Without\n"
      "a name: the tensor `logits`, else the file's only floating tensor with two or\n"
      "more dimensions. :TENSOR is another tensor of the first INPUT's file. Files are\n"
      "mapped and streamed: they may be larger than memory.\n"
      "\n"
      "Exit status: 0 all well; 1 the data are at fault (among them rows with NaN, +inf\n"
      "or all -inf: the results are printed or written first); 2 the command line is.\n"
      "NO_COLOR=1 turns colours off.");
  Globals globals;
  Action action;
  add_globals(app, globals);
  add_score(app, globals, action);
  add_sample(app, globals, action);
  add_compare(app, globals, action);
  add_loss(app, globals, action);
  add_doctor(app, globals, action);
  add_info(app, globals, action);
  add_bench(app, globals, action);
  add_demo(app, globals, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {  // --help, --version
      app.exit(e);
      if (!std::cout.flush()) throw DataError("cannot write to standard output");
      return 0;
    }
    if (app.get_subcommands().empty()) throw UsageError(no_command(app));
    throw UsageError(io::printable(e.what(), 400) + " (--help lists what there is)");
  }
  return action();
}

int fail(int code, const char* message) {
  // Not fmt: it throws where stderr can't be written, and nobody is left to catch.
  std::fputs(("logsum: " + std::string(message) + "\n").c_str(), stderr);
  return code;
}

}  // namespace
}  // namespace logsum::cli

int main(int argc, char** argv) {
  using namespace logsum::cli;
  explain_sigbus();
  try {
    return run(argc, argv);
  } catch (const UsageError& e) {
    return fail(kExitUsage, e.what());
  } catch (const std::bad_alloc&) {
    return fail(kExitData, "out of memory");
  } catch (const std::length_error&) {
    return fail(kExitData, "out of memory: the results would be too large");
  } catch (const std::exception& e) {
    return fail(kExitData, e.what());
  }
}
