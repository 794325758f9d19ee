// SPDX-License-Identifier: Apache-2.0
// From a call's dtype and determinism to the kernel compiled for them.
#pragma once

#include "cuda/device/exponentials.cuh"
#include "cuda/error.hpp"
#include "logsum/context.hpp"
#include "logsum/dtype.hpp"

namespace logsum::cuda {

// f.operator()<DType>().
template <class F>
Status with_dtype(DType dtype, const F& f) {
  switch (dtype) {
    case DType::bf16: return f.template operator()<DType::bf16>();
    case DType::f16: return f.template operator()<DType::f16>();
    default: return f.template operator()<DType::f32>();
  }
}

// f.operator()<Exp>().
template <class F>
Status with_exponential(const Context& context, const F& f) {
  if (context.determinism == Determinism::cross_device) return f.template operator()<Polynomial>();
  return f.template operator()<Hardware>();
}

// f.operator()<DType, Exp>().
template <class F>
Status with_kind(DType dtype, const Context& context, const F& f) {
  return with_dtype(dtype, [&]<DType kDType>() {
    return with_exponential(context,
                            [&]<class Exp>() { return f.template operator()<kDType, Exp>(); });
  });
}

}  // namespace logsum::cuda
