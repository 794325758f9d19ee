// SPDX-License-Identifier: Apache-2.0
// PolicyOptions on a command line: --loss-type and --compat choose, every field may be set on its
// own, in whatever order they stand.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "logsum/policy_options.hpp"

namespace logsum::cli {

class PolicyChoice {
 public:
  // The command's options write into this object.
  void add_to(CLI::App& command);

  // Throws UsageError for a name that there isn't; values are the operation's to judge.
  PolicyOptions options() const;

 private:
  std::string loss_type_ = "dapo";
  std::optional<Compat> compat_;
  std::vector<std::function<void(PolicyOptions&)>> fields_;
};

// Every field by its name; null stands for none.
nlohmann::ordered_json to_json(const PolicyOptions& options);

// Objective, ratio and aggregation, and what else isn't as it is by default.
std::string describe(const PolicyOptions& options);

}  // namespace logsum::cli
