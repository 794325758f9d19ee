// SPDX-License-Identifier: Apache-2.0
// What measuring a tile needs of a temperature: two registers instead of Temperature's four.
#pragma once

#include "core/measure.hpp"

namespace logsum::cuda {

struct TileTemperature {
  float c;
  float inverse_c;

  TileTemperature() = default;
  // One that isn't legal counts as 1: its row is reported, or greedy, not measured at it.
  LOGSUM_HOST_DEVICE explicit TileTemperature(float t)
      : TileTemperature(Temperature(is_valid_temperature(t) ? t : 1.0f)) {}
  LOGSUM_HOST_DEVICE explicit TileTemperature(const Temperature& temperature)
      : c(temperature.c), inverse_c(temperature.inverse_c) {}
};

}  // namespace logsum::cuda
