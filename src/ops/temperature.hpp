// SPDX-License-Identifier: Apache-2.0
// The temperature argument, shared by all operations that take one.
#pragma once

#include "core/check.hpp"
#include "core/measure.hpp"

namespace logsum {

enum class ZeroTemperature { refused, is_greedy };

inline Status check_temperature(const Checker& check, const PerRow<float>& temperature,
                                const Argument& reference, int leading, ZeroTemperature zero,
                                PerRowView<float>& view,
                                const char* name = "temperature") noexcept {
  view.value = temperature.value;
  if (temperature.tensor.present())
    return check.per_row({name, temperature.tensor}, reference, leading, {DType::f32}, view.tensor);
  if (is_valid_temperature(temperature.value)) return {};
  if (zero == ZeroTemperature::is_greedy && temperature.value == 0.0f) return {};
  return check.invalid("%s is %g, must be in [2^-64, 2^64]%s", name,
                       static_cast<double>(temperature.value),
                       zero == ZeroTemperature::is_greedy ? ", or 0 for argmax" : "");
}

}  // namespace logsum
