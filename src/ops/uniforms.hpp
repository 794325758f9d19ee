// SPDX-License-Identifier: Apache-2.0
// The arguments u, seed and offset, shared by all operations that draw.
#pragma once

#include "core/check.hpp"
#include "core/results.hpp"

namespace logsum {

// `inner`: the size of u's dimension of draws, 0 where it has none.
inline Status check_uniforms(const Checker& check, const Tensor& u,
                             const PerRow<std::uint64_t>& seed, const PerRow<std::uint64_t>& offset,
                             const Argument& reference, int leading, std::int64_t inner,
                             Uniforms& uniforms) noexcept {
  LOGSUM_RETURN_IF_ERROR(check.elements({"u", u}, reference, leading,
                                        {.dtypes = {DType::f32, DType::f64}, .inner = inner},
                                        uniforms.u));
  uniforms.seed.value = seed.value;
  uniforms.offset.value = offset.value;
  LOGSUM_RETURN_IF_ERROR(
      check.per_row({"seed", seed.tensor}, reference, leading, {DType::i64}, uniforms.seed.tensor));
  return check.per_row({"offset", offset.tensor}, reference, leading, {DType::i64},
                       uniforms.offset.tensor);
}

}  // namespace logsum
