// SPDX-License-Identifier: Apache-2.0
// Which tensors kernels may take in vectors of 16 bytes throughout.
#pragma once

#include <initializer_list>

#include "core/rows.hpp"

namespace logsum::cuda {

// Of one dtype, with contiguous rows that begin at multiples of 16 bytes.
inline bool have_vectors(std::initializer_list<const RowsView*> views) {
  for (const RowsView* view : views)
    if (view->dtype != (*views.begin())->dtype || view->stride != 1 ||
        reinterpret_cast<std::uintptr_t>(view->data) % 16 != 0 || !view->index.is_aligned(16))
      return false;
  return true;
}

}  // namespace logsum::cuda
