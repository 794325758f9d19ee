// SPDX-License-Identifier: Apache-2.0
// softcap·tanh(z/softcap) and its slope in f32, by IEEE operations only, so that every machine
// returns the same bits. With u = e^(−2|y|), E = u − 1: tanh |y| = −E/(2 + E), tanh' = 4u/(2 + E)².
// E comes as 2^k·q + (2^k − 1), q = 2^f − 1 a polynomial without a constant: near 0, where k is 0,
// nothing cancels. Error: 2^-22 of softcap; of the slope 2e-6, up to 1e-5 where |z| is 40 times
// softcap, from 41 times on it is 0.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/host_device.hpp"
#include "core/measure.hpp"

namespace logsum {

struct Softcap {
  static constexpr float kMinusTwoLog2e = -0x1.715476p+1f;
  static constexpr float kLeast = -120;  // u is 0 to 2^-120 of what it is added to
  // (2^f − 1)/f on |f| ≤ ½, from the top. A function, as device code can't see an array here.
  LOGSUM_HOST_DEVICE static constexpr float poly(int i) {
    constexpr float kPoly[] = {0x1.44138ap-13f, 0x1.5f0890p-10f, 0x1.3b2a54p-7f,
                               0x1.c6af6cp-5f,  0x1.ebfbe0p-3f,  0x1.62e430p-1f};
    return kPoly[i];
  }
  static constexpr int kPolySize = 6;

  float cap = 0, inverse = 0;

  Softcap() = default;
  explicit Softcap(float softcap) : cap(softcap), inverse(1.0f / softcap) {}

  explicit operator bool() const { return cap != 0; }

  // u and E of a logit, step by step as the SIMD code.
  struct Exponential {
    float u, e;
  };
  LOGSUM_HOST_DEVICE Exponential exponential(float z) const {
    const float y = std::fabs(z * inverse);
    const float wanted = y * kMinusTwoLog2e;
    const float a = wanted < kLeast ? kLeast : wanted;
    const float k = std::rint(a);
    const float f = a - k;
    float q = poly(0);
    for (int i = 1; i < kPolySize; ++i) q = std::fma(q, f, poly(i));
    q *= f;
    const float power =
        k == k ? std::bit_cast<float>(static_cast<std::uint32_t>(127 + static_cast<int>(k)) << 23)
               : k;
    // Far out the slope is 0, not 2^-120.
    return {wanted < kLeast ? 0.0f : std::fma(power, q, power), std::fma(power, q, power - 1)};
  }

  LOGSUM_HOST_DEVICE float operator()(float z) const {
    const Exponential x = exponential(z);
    return std::copysign(cap * (-x.e / (2 + x.e)), z);
  }
  // Of the function at z.
  LOGSUM_HOST_DEVICE float slope(float z) const {
    const Exponential x = exponential(z);
    const float d = 2 + x.e;
    return 4 * x.u / (d * d);
  }
};

}  // namespace logsum
