// SPDX-License-Identifier: Apache-2.0
#include "logsum/policy_options.hpp"

#include <cstring>

namespace logsum {
namespace {

struct LossType {
  const char* name;
  Objective objective;
  RatioLevel ratio_level;
  Aggregation aggregation;
};

constexpr LossType kLossTypes[] = {
    {"grpo", Objective::clip, RatioLevel::token, Aggregation::sequence_mean},
    {"bnpo", Objective::clip, RatioLevel::token, Aggregation::token_mean},
    {"dr_grpo", Objective::clip, RatioLevel::token, Aggregation::constant},
    {"dapo", Objective::clip, RatioLevel::token, Aggregation::token_mean},
    {"cispo", Objective::cispo, RatioLevel::token, Aggregation::token_mean},
    {"sapo", Objective::sapo, RatioLevel::token, Aggregation::sequence_mean},
    {"vespo", Objective::vespo, RatioLevel::token, Aggregation::token_mean},
    {"luspo", Objective::clip, RatioLevel::sequence, Aggregation::sequence_sum_mean},
    {"gspo", Objective::clip, RatioLevel::sequence, Aggregation::sequence_mean},
    {"gmpo", Objective::gmpo, RatioLevel::token, Aggregation::sequence_mean},
    {"reinforce", Objective::reinforce, RatioLevel::token, Aggregation::token_mean},
};

}  // namespace

Status set_loss_type(PolicyOptions& options, const char* loss_type) noexcept {
  for (const LossType& type : kLossTypes) {
    if (loss_type == nullptr || std::strcmp(type.name, loss_type) != 0) continue;
    options.objective = type.objective;
    options.ratio_level = type.ratio_level;
    options.aggregation = type.aggregation;
    return {};
  }
  return Status::error(StatusCode::invalid_argument,
                       "set_loss_type: loss_type is %s, must be grpo, bnpo, dr_grpo, dapo, cispo, "
                       "sapo, vespo, luspo, gspo, gmpo or reinforce",
                       loss_type ? loss_type : "null");
}

Status set_compat(PolicyOptions& options, Compat compat) noexcept {
  const PolicyOptions defaults;
  if (compat != Compat::trl && compat != Compat::liger && compat != Compat::verl)
    return Status::error(StatusCode::invalid_argument,
                         "set_compat: compat is %d, must be trl (0), liger (1) or verl (2)",
                         static_cast<int>(compat));
  const bool is_verl = compat == Compat::verl;
  options.cispo_bounds = is_verl ? CispoBounds::both : defaults.cispo_bounds;
  options.dual_clip = is_verl ? 3.0f : defaults.dual_clip;
  options.log_ratio_clamp = is_verl ? 20.0f : defaults.log_ratio_clamp;
  options.kl_input_clamp = is_verl ? 20.0f : defaults.kl_input_clamp;
  options.kl_output_clamp = is_verl ? 10.0f : defaults.kl_output_clamp;
  options.count_empty_sequences = !is_verl;
  return {};
}

}  // namespace logsum
