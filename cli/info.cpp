// SPDX-License-Identifier: Apache-2.0
// logsum info: what this build and this machine offer.
#include <fmt/format.h>
#include <unistd.h>

#include "commands.hpp"
#include "logsum/version.h"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

const char* state(const SimdTargetInfo& info) {
  return !info.compiled ? "not in this build" : info.available ? "available" : "not on this CPU";
}

void print_info(const Globals& globals, bool json) {
  Session session(globals);
  const int threads = session.executor().concurrency();
  const SimdTarget chosen = chosen_simd(globals.simd);
  if (json) {
    nlohmann::ordered_json out = {{"version", LOGSUM_VERSION}, {"threads", threads}};
    for (const BackendInfo& info : backends())
      out["backends"].push_back(
          {{"name", info.name}, {"available", info.available}, {"description", info.description}});
    for (const SimdTargetInfo& info : simd_targets())
      out["simd_targets"].push_back({{"name", info.name},
                                     {"compiled", info.compiled},
                                     {"available", info.available},
                                     {"chosen", info.id == chosen}});
    write_stdout(out.dump(2) + '\n');
    return flush_stdout();
  }
  const bool colour = may_use_colour(STDOUT_FILENO);
  Facts facts;
  facts.add("version", LOGSUM_VERSION);
  for (const BackendInfo& info : backends())
    facts.add(&info == backends().data() ? "backends" : "",
              fmt::format("{:<10} {}", info.name, info.description));
  for (const SimdTargetInfo& info : simd_targets())
    facts.add(
        &info == simd_targets().data() ? "SIMD targets" : "",
        fmt::format("{:<10} {}{}", info.name, state(info), info.id == chosen ? ", chosen" : ""));
  facts.add("threads", fmt::format("{}", threads));
  write_stdout(facts.to_text(terminal_width(STDOUT_FILENO), colour));
  flush_stdout();
}

}  // namespace

void add_info(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("info", "Version, backends, SIMD targets, threads");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "JSON on stdout");
  command->footer("Options of all commands: logsum --help");
  command->callback([json, &globals, &action] {
    action = [json, &globals] {
      print_info(globals, *json);
      return 0;
    };
  });
}

}  // namespace logsum::cli
