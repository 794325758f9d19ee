// SPDX-License-Identifier: Apache-2.0
// A number and its derivative: a loss written once, as its paper has it, gives its gradient too.
// min, max and clamp as in PyTorch: a tie shares the derivative, a bound itself passes it.
#pragma once

#include <cmath>

namespace logsum::reference {

struct Dual {
  double v = 0, d = 0;

  Dual() = default;
  Dual(double value, double derivative = 0) : v(value), d(derivative) {}  // NOLINT: a constant
};

// 0·∞ is 0: what doesn't count has no derivative either.
inline double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

inline Dual operator+(Dual a, Dual b) { return {a.v + b.v, a.d + b.d}; }
inline Dual operator-(Dual a, Dual b) { return {a.v == b.v ? 0 : a.v - b.v, a.d - b.d}; }
inline Dual operator*(Dual a, Dual b) {
  return {times(a.v, b.v), times(a.d, b.v) + times(a.v, b.d)};
}
inline Dual operator/(Dual a, Dual b) {
  return {a.v / b.v, (times(a.d, b.v) - times(a.v, b.d)) / (b.v * b.v)};
}
inline Dual exp(Dual a) { return {std::exp(a.v), times(std::exp(a.v), a.d)}; }
inline Dual min(Dual a, Dual b) {
  if (a.v == b.v) return {a.v, (a.d + b.d) / 2};
  return a.v < b.v ? a : b;
}
inline Dual max(Dual a, Dual b) {
  if (a.v == b.v) return {a.v, (a.d + b.d) / 2};
  return a.v > b.v ? a : b;
}
inline Dual clamp(Dual a, double low, double high) {
  if (a.v < low) return low;
  return a.v > high ? high : a;
}
inline Dual stop_gradient(Dual a) { return a.v; }

}  // namespace logsum::reference
