// SPDX-License-Identifier: Apache-2.0
// A row's cdf in float64, and which tokens the contract allows for a uniform: the exact one, or its
// neighbour where u lies within 2^-22 of the step between them.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "logsum/rng.hpp"

namespace logsum::test {

inline std::vector<double> probabilities_of(const std::vector<float>& z, double temperature) {
  const double max = *std::max_element(z.begin(), z.end());
  std::vector<double> p;
  double sum = 0;
  for (const float x : z) {
    p.push_back(std::exp((static_cast<double>(x) - max) / temperature));
    sum += p.back();
  }
  for (double& x : p) x /= sum;
  return p;
}

inline std::vector<double> cdf_of(const std::vector<float>& z, double temperature) {
  std::vector<double> cdf = probabilities_of(z, temperature);
  for (std::size_t i = 1; i < cdf.size(); ++i) cdf[i] += cdf[i - 1];
  return cdf;
}

// The lowest token with p > 0 and cdf above u.
inline std::int64_t token_at(const std::vector<double>& cdf, double u) {
  const auto at = std::upper_bound(cdf.begin(), cdf.end(), u);
  if (at != cdf.end()) return at - cdf.begin();
  return std::lower_bound(cdf.begin(), cdf.end(), cdf.back()) - cdf.begin();
}

inline bool is_token_of(const std::vector<double>& cdf, double u, std::int64_t token) {
  if (token < 0 || token >= static_cast<std::int64_t>(cdf.size())) return false;
  const auto i = static_cast<std::size_t>(token);
  const double below = i > 0 ? cdf[i - 1] : 0;
  return cdf[i] > below && u >= below - 0x1p-22 && u <= cdf[i] + 0x1p-22;
}

inline bool is_token_of(const std::vector<float>& z, double temperature, double u,
                        std::int64_t token) {
  return is_token_of(cdf_of(z, temperature), u, token);
}

// sample's uniform.
inline double uniform(std::uint64_t seed, std::uint64_t offset, std::uint32_t draw) {
  return static_cast<double>(uniform_bits(seed, offset, draw, RngStream::sample)) * 0x1p-53;
}

}  // namespace logsum::test
