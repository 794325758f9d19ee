// SPDX-License-Identifier: Apache-2.0
// Tokens in sequences: the rows of a [..., T], or pieces of a packed [N] that cu_seqlens cuts.
// Either way a token has one number, its place in row-major order.
#pragma once

#include <algorithm>

#include "core/check.hpp"

namespace logsum {

struct TokenRange {
  std::int64_t begin, end;
  LOGSUM_HOST_DEVICE std::int64_t size() const { return end - begin; }
};

struct Sequences {
  std::int64_t count = 0, tokens = 0;
  std::int64_t length = 0;  // of each, where they aren't packed
  ElementsView cu_seqlens;  // [count + 1], where they are

  // Packed, what lies behind the last sequence is a range of its own.
  LOGSUM_HOST_DEVICE std::int64_t ranges() const { return cu_seqlens ? count + 1 : count; }
  LOGSUM_HOST_DEVICE bool is_sequence(std::int64_t range) const { return range < count; }

  // Whatever cu_seqlens holds, within [0, tokens].
  LOGSUM_HOST_DEVICE TokenRange range(std::int64_t i) const {
    if (!cu_seqlens) return {i * length, (i + 1) * length};
    const std::int64_t begin = i == 0 ? 0 : bound(i);
    return {begin, i == count ? tokens : std::max(begin, bound(i + 1))};
  }

 private:
  LOGSUM_HOST_DEVICE std::int64_t bound(std::int64_t i) const {
    return std::clamp<std::int64_t>(cu_seqlens.integer(i), 0, tokens);
  }
};

// Fills `sequences` for checked tokens; refuses a cu_seqlens that doesn't fit them.
inline Status check_sequences(const Checker& check, const Argument& tokens,
                              const Argument& cu_seqlens, Sequences& sequences) noexcept {
  const Tensor& t = tokens.tensor;
  const Tensor& cuts = cu_seqlens.tensor;
  sequences.tokens = t.elements();
  if (!cuts.present()) {
    if (t.rank < 1) return check.invalid("%s has no dimensions, must be [..., T]", tokens.name);
    sequences.length = t.dim(-1);
    sequences.count = 1;
    for (int i = 0; i < t.rank - 1; ++i) sequences.count *= t.shape[i];
    return {};
  }
  LOGSUM_RETURN_IF_ERROR(check.tensor(cu_seqlens));
  LOGSUM_RETURN_IF_ERROR(check.dtype(cu_seqlens, {DType::i32, DType::i64}));
  if (t.rank != 1)
    return check.invalid("%s has shape %s, must be [N] with %s", tokens.name, describe_shape(t).s,
                         cu_seqlens.name);
  if (cuts.rank != 1 || cuts.shape[0] < 1)
    return check.invalid("%s has shape %s, must be [B + 1]", cu_seqlens.name,
                         describe_shape(cuts).s);
  sequences.count = cuts.shape[0] - 1;
  sequences.cu_seqlens.data = static_cast<std::byte*>(cuts.data);
  sequences.cu_seqlens.dtype = cuts.dtype;
  sequences.cu_seqlens.index = RowIndex(cuts, 1, cuts.dtype);
  return {};
}

}  // namespace logsum
