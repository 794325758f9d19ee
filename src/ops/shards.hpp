// SPDX-License-Identifier: Apache-2.0
// measure, merge and draw after validation, and the checks on what they pass to one another.
#pragma once

#include <cstdio>
#include <vector>

#include "core/check.hpp"
#include "core/results.hpp"

namespace logsum {

// Rows of TileRecord or DrawChoice in a u8 tensor [..., count, sizeof(T)].
template <class T>
struct StructRows {
  std::byte* data = nullptr;
  RowIndex index;
  std::int64_t count = 0;

  LOGSUM_HOST_DEVICE T* row(std::int64_t i) const {
    return reinterpret_cast<T*>(data + index.offset(i));
  }
};

template <class T>
Status check_structs(const Checker& check, const Argument& argument, const Argument& reference,
                     int leading, std::int64_t count, bool output, StructRows<T>& view) noexcept {
  const Tensor& t = argument.tensor;
  LOGSUM_RETURN_IF_ERROR(check.tensor(argument));
  LOGSUM_RETURN_IF_ERROR(check.dtype(argument, {DType::u8}));
  if (t.rank != leading + 2 || t.dim(-1) != static_cast<std::int64_t>(sizeof(T)) ||
      (count >= 0 && t.dim(-2) != count)) {
    char wanted[24] = "n";
    if (count >= 0) std::snprintf(wanted, sizeof wanted, "%lld", static_cast<long long>(count));
    return check.invalid("%s has shape %s, must be %s's leading dimensions and [%s, %zu]",
                         argument.name, describe_shape(t).s, reference.name, wanted, sizeof(T));
  }
  Tensor rows = t;
  rows.rank = leading;
  LOGSUM_RETURN_IF_ERROR(check.shape({argument.name, rows}, reference, leading, 0));
  bool aligned = reinterpret_cast<std::uintptr_t>(t.data) % alignof(T) == 0;
  for (int i = 0; i < leading; ++i)
    aligned &= t.shape[i] <= 1 || t.strides[i] % static_cast<std::int64_t>(alignof(T)) == 0;
  const bool packed =
      t.strides[t.rank - 1] == 1 &&
      (t.dim(-2) <= 1 || t.strides[t.rank - 2] == static_cast<std::int64_t>(sizeof(T)));
  if (!packed || !aligned)
    return check.invalid(
        "%s must be contiguous in its last two dimensions and aligned to %zu bytes", argument.name,
        alignof(T));
  if (output) LOGSUM_RETURN_IF_ERROR(check.writable(argument));
  view.data = static_cast<std::byte*>(t.data);
  view.index = RowIndex(t, leading, t.dtype);
  view.count = t.dim(-2);
  return {};
}

// The columns of the whole row that a shard holds.
inline Status check_vocab_start(const Checker& check, std::int64_t vocab_start) noexcept {
  if (vocab_start >= 0 && vocab_start % kTile == 0 && vocab_start < INT32_MAX) return {};
  return check.invalid("vocab_start is %lld, must be a multiple of %d in [0, 2^31)",
                       static_cast<long long>(vocab_start), kTile);
}

struct MeasurePlan {
  RowsView logits;
  StructRows<TileRecord> records;
  ElementsView targets, target_logits;
  PerRowView<float> temperature;
  std::int64_t vocab_start = 0;
  bool moment = true;

  // The column of the row's target in this shard; −1 if it is elsewhere.
  LOGSUM_HOST_DEVICE std::int64_t target_column(std::int64_t row) const {
    const std::int64_t target = targets.integer(row);
    const bool is_here = target >= vocab_start && target - vocab_start < logits.columns;
    return is_here ? target - vocab_start : -1;
  }
};

// merge, but for what there is one of per shard.
struct MergeCall {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t tiles = 0;
  ElementsView targets, logprobs;
  std::int64_t ignore_index = 0;
  ElementsView lse, entropy, max, argmax, row_status;
  StructRows<DrawChoice> choices;
  Uniforms uniforms;
  PerRowView<float> temperature;
};

struct MergePlan : MergeCall {
  std::vector<StructRows<TileRecord>> shards;
  std::vector<ElementsView> target_logits;
};

struct DrawPlan {
  RowsView logits;
  StructRows<DrawChoice> choices;
  ElementsView token, logprob, token_logit;
  PerRowView<float> temperature;
  std::int64_t vocab_start = 0;
};

}  // namespace logsum
