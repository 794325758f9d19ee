// SPDX-License-Identifier: Apache-2.0
#include "cuda/policy_rings.cuh"

namespace logsum::cuda {

template Status policy_rings_of<DType::f16>(const PolicyCall&, const Context&, bool&);

}  // namespace logsum::cuda
