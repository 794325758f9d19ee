// SPDX-License-Identifier: Apache-2.0
// What fuzzers share: values taken off the given bytes, and how they fail.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "logsum/status.hpp"

namespace logsum::fuzz {

// Takes values off the front of the fuzzer's bytes; zeros when they are used up.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  template <class T>
  T take() {
    T value{};
    const std::size_t n = left_ < sizeof(T) ? left_ : sizeof(T);
    std::memcpy(&value, data_, n);
    data_ += n;
    left_ -= n;
    return value;
  }
  // In [0, count).
  int below(int count) { return take<std::uint8_t>() % count; }
  bool one_in(int count) { return below(count) == 1; }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

[[noreturn]] inline void fail(const char* what, double got, double expected) {
  std::fprintf(stderr, "%s: %.9g, expected %.9g\n", what, got, expected);
  std::abort();
}

inline void must(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message());
    std::abort();
  }
}

// The contract of log-probs, lse and entropy.
inline bool within(double got, double truth) {
  if (std::isnan(truth)) return std::isnan(got);
  // A truth beyond f32 was rounded to ∞; the largest f32 is within the bound of it.
  if (std::isinf(truth)) return got == truth || (got * truth > 0 && std::fabs(got) > 3.4028e38);
  return std::fabs(got - truth) <= 5e-7 + 0x1p-22 * std::fabs(truth);
}

}  // namespace logsum::fuzz
