// SPDX-License-Identifier: Apache-2.0
#include "logsum/preference_options.hpp"

#include <cstring>

namespace logsum {

Status set_preference_loss_type(PreferenceOptions& options, const char* loss_type) noexcept {
  for (int i = 0; loss_type && i <= static_cast<int>(PreferenceLoss::kto); ++i) {
    const auto loss = static_cast<PreferenceLoss>(i);
    if (std::strcmp(to_string(loss), loss_type) != 0) continue;
    options.loss = loss;
    options.length_average = loss == PreferenceLoss::ipo || loss == PreferenceLoss::simpo ||
                             loss == PreferenceLoss::orpo;
    options.nll_coef = loss == PreferenceLoss::orpo ? 1.0f : 0.0f;
    return {};
  }
  return Status::error(StatusCode::invalid_argument,
                       "set_preference_loss_type: loss_type is %s, must be sigmoid, hinge, ipo, "
                       "simpo, orpo or kto",
                       loss_type ? loss_type : "null");
}

}  // namespace logsum
