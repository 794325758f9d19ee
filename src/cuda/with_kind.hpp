// SPDX-License-Identifier: Apache-2.0
// From a call's dtype and determinism to the kernel compiled for them.
#pragma once

#include "cuda/device/exponentials.cuh"
#include "cuda/error.hpp"
#include "logsum/context.hpp"
#include "logsum/dtype.hpp"

namespace logsum::cuda {

// f.operator()<DType, Exp>().
template <class F>
Status with_kind(DType dtype, const Context& context, const F& f) {
  const auto with_dtype = [&]<class Exp>() {
    switch (dtype) {
      case DType::bf16: return f.template operator()<DType::bf16, Exp>();
      case DType::f16: return f.template operator()<DType::f16, Exp>();
      default: return f.template operator()<DType::f32, Exp>();
    }
  };
  if (context.determinism == Determinism::cross_device)
    return with_dtype.template operator()<Polynomial>();
  return with_dtype.template operator()<Hardware>();
}

}  // namespace logsum::cuda
