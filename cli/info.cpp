// SPDX-License-Identifier: Apache-2.0
// logsum info: what this build and this machine offer.
#include <fmt/format.h>
#include <unistd.h>

#include "commands.hpp"
#include "errors.hpp"
#include "explain.hpp"
#include "gpus.hpp"
#include "logsum/version.h"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

struct InfoOptions {
  bool json = false;
  std::optional<VisitedRows> explain;
  std::optional<std::string> like;
};

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
    out["cuda"] = cuda_to_json();
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
  add_cuda(facts);
  write_stdout(facts.to_text(terminal_width(STDOUT_FILENO), colour));
  flush_stdout();
}

void print_schedules(const Globals& globals, const InfoOptions& options) {
  const DeviceInfo device =
      options.like ? gpu_like(*options.like) : gpu_at(globals.device.index, "--explain");
  if (options.json)
    write_stdout(explain_as_json(device, *options.explain, globals.determinism).dump(2) + '\n');
  else
    write_stdout(explain_as_text(device, *options.explain, globals.determinism,
                                 terminal_width(STDOUT_FILENO), may_use_colour(STDOUT_FILENO)));
  flush_stdout();
}

}  // namespace

void add_info(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("info", "Version, backends, SIMD targets, GPUs");
  auto o = std::make_shared<InfoOptions>();
  add_parsed(
      *command, "--explain", "R,V,DTYPE", [o](const std::string& t) { o->explain = parse_rows(t); },
      "How R rows of V logits would be laid over the GPU");
  command
      ->add_option("--like", o->like, "With --explain: over a GPU such as h200, without having it")
      ->type_name("KIND");
  command->add_flag("--json", o->json, "JSON on stdout");
  command->footer("Options of all commands: logsum --help");
  command->callback([o, &globals, &action] {
    action = [o, &globals] {
      if (o->like && !o->explain) throw UsageError("--like is for --explain");
      if (o->explain)
        print_schedules(globals, *o);
      else
        print_info(globals, o->json);
      return 0;
    };
  });
}

}  // namespace logsum::cli
