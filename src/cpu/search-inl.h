// SPDX-License-Identifier: Apache-2.0
// Looking through a tile once more, while it is in cache: where a value stands, how many are above
// it.
#if defined(LOGSUM_CPU_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_SEARCH_INL_H_
#undef LOGSUM_CPU_SEARCH_INL_H_
#else
#define LOGSUM_CPU_SEARCH_INL_H_
#endif

#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

inline int find_value(const Tile& tile, float value) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  const V wanted = hn::Set(d, value);
  for (int i = 0; i < tile.columns; i += step) {
    const auto at = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, tile.z + i), wanted));
    if (at >= 0) return i + static_cast<int>(at) < tile.columns ? i + static_cast<int>(at) : -1;
  }
  return -1;
}

inline int count_greater(const Tile& tile, float value) {
  const F32 d;
  const int step = static_cast<int>(hn::Lanes(d));
  const V bound = hn::Set(d, value);
  std::size_t count = 0;  // the −∞ behind the last column is greater than nothing
  for (int i = 0; i < tile.columns; i += step)
    count += hn::CountTrue(d, hn::Gt(hn::LoadU(d, tile.z + i), bound));
  return static_cast<int>(count);
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
