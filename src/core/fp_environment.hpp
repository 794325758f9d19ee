// SPDX-License-Identifier: Apache-2.0
// Round to nearest, subnormals kept, for the length of a scope: hosts (PyTorch's
// set_flush_denormal, audio engines, some compilers' start-up code) change these per thread, and a
// row's bits must not depend on it.
#pragma once

#include <cfenv>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace logsum {

class FpEnvironment {
 public:
#if defined(__SSE__)
  FpEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }  // all exceptions masked
  ~FpEnvironment() { _mm_setcsr(saved_); }
#else
  FpEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FpEnvironment() { std::fesetenv(&saved_); }
#endif
  FpEnvironment(const FpEnvironment&) = delete;
  FpEnvironment& operator=(const FpEnvironment&) = delete;

 private:
#if defined(__SSE__)
  unsigned saved_;
#else
  std::fenv_t saved_;
#endif
};

}  // namespace logsum
