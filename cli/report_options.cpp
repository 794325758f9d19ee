// SPDX-License-Identifier: Apache-2.0
// The options that say how results leave the program.
#include "commands.hpp"

namespace logsum::cli {

void add_report_options(CLI::App& command, ReportOptions& options, const char* all) {
  command.add_flag("--json", options.json, "Prints {\"rows\": [{...}, ...], \"summary\": {...}}");
  command.add_flag("--all", options.all, all);
  command
      .add_option("--output", options.output, "Writes OUT.safetensors, or OUT.npy with --select")
      ->type_name("OUT");
  command.add_option("--select", options.select, "The one column to write")->type_name("NAME");
}

}  // namespace logsum::cli
