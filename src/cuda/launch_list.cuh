// SPDX-License-Identifier: Apache-2.0
// The launch of a loss's list (device/list_rows.cuh). Each loss has a kernel of its own, whose last
// CTA makes the totals of the counts.
#pragma once

#include <algorithm>

#include "cuda/device/list_rows.cuh"
#include "cuda/launch_kernel.hpp"

namespace logsum::cuda {

// `counter`: one that is 0 before and after.
template <class Call>
Status launch_list(void (*kernel)(Call, unsigned*), const Call& call, unsigned* counter,
                   const Context& context) {
  constexpr std::int64_t kMostBlocks = 64;
  const std::int64_t blocks = (call.logits.rows + kListThreads - 1) / kListThreads;
  return launch_kernel(kernel,
                       static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, kMostBlocks)),
                       kListThreads, 0, context, call, counter);
}

}  // namespace logsum::cuda
