// SPDX-License-Identifier: Apache-2.0
#include "policy_choice.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "commands.hpp"
#include "errors.hpp"
#include "io/file_error.hpp"
#include "numbers.hpp"
#include "report.hpp"

namespace logsum::cli {
namespace {

template <class T>
struct Name {
  const char* name;
  T value;
};

constexpr Name<Objective> kObjectives[] = {
    {"clip", Objective::clip}, {"cispo", Objective::cispo}, {"sapo", Objective::sapo},
    {"gmpo", Objective::gmpo}, {"vespo", Objective::vespo}, {"reinforce", Objective::reinforce}};
constexpr Name<RatioLevel> kRatioLevels[] = {{"token", RatioLevel::token},
                                             {"sequence", RatioLevel::sequence}};
constexpr Name<Aggregation> kAggregations[] = {
    {"token_mean", Aggregation::token_mean},
    {"sequence_mean", Aggregation::sequence_mean},
    {"sequence_sum_mean", Aggregation::sequence_sum_mean},
    {"constant", Aggregation::constant}};
constexpr Name<KlEstimator> kKlEstimators[] = {{"k1", KlEstimator::k1},
                                               {"k2", KlEstimator::k2},
                                               {"k3", KlEstimator::k3},
                                               {"k3_plus", KlEstimator::k3_plus}};
constexpr Name<CispoBounds> kCispoBounds[] = {{"upper", CispoBounds::upper},
                                              {"both", CispoBounds::both}};
constexpr Name<bool> kSwitch[] = {{"off", false}, {"on", true}};
constexpr Name<bool> kEmptySequences[] = {{"skip", false}, {"count", true}};
constexpr Name<Compat> kCompats[] = {
    {"trl", Compat::trl}, {"liger", Compat::liger}, {"verl", Compat::verl}};

template <class T, std::size_t n>
std::string list(const Name<T> (&names)[n], const char* separator) {
  std::string text;
  for (const Name<T>& name : names)
    text += (text.empty() ? "" : separator) + std::string(name.name);
  return text;
}

template <class T, std::size_t n>
T parse_name(const char* option, const std::string& text, const Name<T> (&names)[n]) {
  const auto found = std::ranges::find(names, text, &Name<T>::name);
  if (found != std::end(names)) return found->value;
  throw UsageError(
      fmt::format("{} is {}, must be one of {}", option, io::in_quotes(text), list(names, ", ")));
}

template <class T, std::size_t n>
const char* name_of(T value, const Name<T> (&names)[n]) {
  return std::ranges::find(names, value, &Name<T>::value)->name;
}

// A field that is a number. Its name here is that of the field.
struct Real {
  const char* option;
  float PolicyOptions::*field;
  const char* help;
  bool may_be_none = false;
};
constexpr Real kReals[] = {
    {"--epsilon-low", &PolicyOptions::epsilon_low, "Clips ratios below 1 - X (default 0.2)"},
    {"--epsilon-high", &PolicyOptions::epsilon_high, "Clips ratios above 1 + X (default 0.2)"},
    {"--delta", &PolicyOptions::delta, "clip: upper bound of the ratio", true},
    {"--dual-clip", &PolicyOptions::dual_clip, "clip: bound of the loss where A < 0", true},
    {"--sapo-tau-pos", &PolicyOptions::sapo_tau_pos, "sapo: where A > 0 (default 1)"},
    {"--sapo-tau-neg", &PolicyOptions::sapo_tau_neg, "sapo: elsewhere (default 1.05)"},
    {"--vespo-k-pos", &PolicyOptions::vespo_k_pos, "vespo: where A > 0 (default 2)"},
    {"--vespo-lambda-pos", &PolicyOptions::vespo_lambda_pos, "(default 3)"},
    {"--vespo-k-neg", &PolicyOptions::vespo_k_neg, "vespo: elsewhere (default 3)"},
    {"--vespo-lambda-neg", &PolicyOptions::vespo_lambda_neg, "(default 2)"},
    {"--log-ratio-clamp", &PolicyOptions::log_ratio_clamp, "Log-ratios within +-X", true},
    {"--beta", &PolicyOptions::beta, "Times KL; other than 0 asks for --ref (default 0)"},
    {"--kl-input-clamp", &PolicyOptions::kl_input_clamp, "k3: ref - logp within +-X", true},
    {"--kl-output-clamp", &PolicyOptions::kl_output_clamp, "k3: at most X", true},
    {"--entropy-coef", &PolicyOptions::entropy_coef, "Times entropy, a bonus (default 0)"},
    {"--off-policy-threshold", &PolicyOptions::off_policy_threshold,
     "Leaves out sequences with A < 0 that are farther off", true},
};

std::string key_of(const Real& real) {
  std::string key = std::string(real.option).substr(2);
  std::ranges::replace(key, '-', '_');
  return key;
}

}  // namespace

void PolicyChoice::add_to(CLI::App& command) {
  command
      .add_option("--loss-type", loss_type_,
                  "As TRL calls it: dapo (default), grpo, dr_grpo, gspo ...")
      ->type_name("NAME");
  add_parsed(
      command, "--compat", "NAME",
      [this](const std::string& t) { compat_ = parse_name("--compat", t, kCompats); },
      "As in another library: trl (default), liger or verl");
  const auto add_named = [&](const char* option, auto PolicyOptions::*field, const auto& names,
                             const std::string& help) {
    add_parsed(
        command, option, "NAME",
        [this, option, field, &names](const std::string& t) {
          fields_.push_back([field, value = parse_name(option, t, names)](PolicyOptions& o) {
            o.*field = value;
          });
        },
        help + list(names, ", "));
  };
  add_named("--objective", &PolicyOptions::objective, kObjectives, "");
  add_named("--ratio-level", &PolicyOptions::ratio_level, kRatioLevels, "");
  add_named("--aggregation", &PolicyOptions::aggregation, kAggregations, "");
  add_named("--cispo-bounds", &PolicyOptions::cispo_bounds, kCispoBounds, "cispo: ");
  add_named("--kl-estimator", &PolicyOptions::kl_estimator, kKlEstimators, "k3, or: ");
  add_named("--bias-correction-kl", &PolicyOptions::use_bias_correction_kl, kSwitch,
            "KL times the ratio: ");
  add_named("--empty-sequences", &PolicyOptions::count_empty_sequences, kEmptySequences,
            "In a mean over sequences: ");
  for (const Real& real : kReals)
    add_parsed(
        command, real.option, real.may_be_none ? "X|none" : "X",
        [this, &real](const std::string& t) {
          fields_.push_back([&real, value = parse_f32(real.option, t, real.may_be_none)](
                                PolicyOptions& o) { o.*real.field = value; });
        },
        real.help);
}

PolicyOptions PolicyChoice::options() const {
  PolicyOptions o;
  if (const Status status = set_loss_type(o, loss_type_.c_str()); !status.ok())
    throw UsageError("--loss-type: " + io::printable(status.message(), 400));
  if (compat_) check(set_compat(o, *compat_), "--compat");
  for (const auto& set : fields_) set(o);
  return o;
}

nlohmann::ordered_json to_json(const PolicyOptions& o) {
  nlohmann::ordered_json json = {
      {"objective", name_of(o.objective, kObjectives)},
      {"ratio_level", name_of(o.ratio_level, kRatioLevels)},
      {"aggregation", name_of(o.aggregation, kAggregations)},
      {"cispo_bounds", name_of(o.cispo_bounds, kCispoBounds)},
      {"kl_estimator", name_of(o.kl_estimator, kKlEstimators)},
      {"use_bias_correction_kl", o.use_bias_correction_kl},
      {"count_empty_sequences", o.count_empty_sequences},
  };
  for (const Real& real : kReals) json[key_of(real)] = finite_or_null(as_written(o.*real.field));
  return json;
}

std::string describe(const PolicyOptions& options) {
  std::string text = fmt::format("{}, ratio per {}, {}", name_of(options.objective, kObjectives),
                                 name_of(options.ratio_level, kRatioLevels),
                                 name_of(options.aggregation, kAggregations));
  PolicyOptions defaults;
  defaults.objective = options.objective;
  defaults.ratio_level = options.ratio_level;
  defaults.aggregation = options.aggregation;
  const auto usual = to_json(defaults), chosen = to_json(options);
  for (const auto& [key, value] : chosen.items())
    if (value != usual[key])
      text += fmt::format(", {} {}", key,
                          value.is_null()     ? "none"
                          : value.is_string() ? value.get<std::string>()
                                              : value.dump());
  return text;
}

}  // namespace logsum::cli
