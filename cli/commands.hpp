// SPDX-License-Identifier: Apache-2.0
// The subcommands. Each adds itself to the parser and, if it is the one called, leaves the action
// to run once the whole command line has been read.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "report.hpp"
#include "session.hpp"

namespace logsum::cli {

using Action = std::function<int()>;  // returns the exit code

void add_score(CLI::App& app, const Globals& globals, Action& action);
void add_sample(CLI::App& app, const Globals& globals, Action& action);
void add_compare(CLI::App& app, const Globals& globals, Action& action);
void add_loss(CLI::App& app, const Globals& globals, Action& action);
void add_doctor(CLI::App& app, const Globals& globals, Action& action);
void add_info(CLI::App& app, const Globals& globals, Action& action);
void add_demo(CLI::App& app, const Globals& globals, Action& action);
void add_bench(CLI::App& app, const Globals& globals, Action& action);

// --json, --output, --select, --all
void add_report_options(CLI::App& command, ReportOptions& options,
                        const char* all = "All rows in the table, not just the first and last 20");

// An option whose text goes through a strict parser.
template <class Set>
CLI::Option* add_parsed(CLI::App& command, const std::string& name, const char* value, Set set,
                        const std::string& help) {
  return command.add_option_function<std::string>(name, set, help)->type_name(value);
}

}  // namespace logsum::cli
