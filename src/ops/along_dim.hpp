// SPDX-License-Identifier: Apache-2.0
// Arguments of operations along any dimension: per-row tensors have the others.
#pragma once

#include <cstdio>

#include "core/check.hpp"
#include "core/row_blocks.hpp"
#include "core/workspace.hpp"

namespace logsum {

// A tensor without one dimension, as an argument that per-row tensors are compared with.
class RowsArgument {
 public:
  RowsArgument(const Argument& of, std::int64_t dim)
      : tensor_(without_dim(of.tensor, axis_of(dim, of.tensor.rank))) {
    std::snprintf(name_, sizeof name_, "%s without dim %lld", of.name, static_cast<long long>(dim));
  }

  Argument argument() const { return {name_, tensor_}; }
  int rank() const { return tensor_.rank; }

 private:
  char name_[64];
  Tensor tensor_;
};

// A tensor of `like`'s shape with rows along `dim`; fills the view.
inline Status check_rows_like(const Checker& check, const Argument& argument, const Argument& like,
                              std::int64_t dim, RowsView& view) noexcept {
  if (!argument.tensor.present()) return check.invalid("%s is missing", argument.name);
  LOGSUM_RETURN_IF_ERROR(check.tensor(argument));
  LOGSUM_RETURN_IF_ERROR(check.shape(argument, like, like.tensor.rank, 0));
  return check.rows(argument, dim, view);
}

// A written tensor that holds what is computed of `logits`: in its dtype or f32.
inline Status check_dense_output(const Checker& check, const Argument& output,
                                 const Argument& logits) noexcept {
  if (logits.tensor.dtype == DType::f32)
    LOGSUM_RETURN_IF_ERROR(check.dtype(output, {DType::f32}));
  else
    LOGSUM_RETURN_IF_ERROR(check.dtype(output, {DType::f32, logits.tensor.dtype}));
  return check.writable(output);
}

// The input to check for overlap with an output that may be written in its place: none where they
// are the same elements.
inline Tensor unless_same(const Tensor& input, const Tensor& output) noexcept {
  return same_view(input, output) ? Tensor() : input;
}

// bytes(rows, leading, columns) of the rows along `dim`; 0 for a dim that would be refused.
template <class Bytes>
std::size_t bytes_along_dim(const Tensor& tensor, std::int64_t dim, const Bytes& bytes) noexcept {
  if (tensor.rank < 1 || tensor.rank > kMaxRank || dim < -tensor.rank || dim >= tensor.rank)
    return 0;
  const int axis = axis_of(dim, tensor.rank);
  return bytes(without_dim(tensor, axis), tensor.rank - 1, tensor.shape[axis]);
}

// Workspace for a T per tile of each row along `dim`, and `per_row` bytes more for each row.
template <class T>
std::size_t rows_workspace_bytes(const Tensor& tensor, std::int64_t dim,
                                 std::size_t per_row = 0) noexcept {
  return bytes_along_dim(tensor, dim, [&](const Tensor& rows, int leading, std::int64_t columns) {
    return workspace_bytes<T>(rows, leading, columns, per_row);
  });
}

// The same of a row visit on a GPU, with a record per tile.
inline std::size_t rows_span_workspace_bytes(const Tensor& tensor, std::int64_t dim,
                                             std::size_t per_row = 0) noexcept {
  return bytes_along_dim(tensor, dim, [&](const Tensor& rows, int leading, std::int64_t columns) {
    return span_workspace_bytes(rows, leading, columns, 1, per_row);
  });
}

// Workspace for the rows along `dim` that have to be staged: none where V is contiguous.
inline std::size_t staging_bytes(std::initializer_list<Tensor> tensors, std::int64_t dim) noexcept {
  const Tensor& first = *tensors.begin();
  const std::size_t records = rows_workspace_bytes<TileRecord>(first, dim);
  if (records == 0 || records >= kMostWorkspace) return 0;
  const int axis = axis_of(dim, first.rank);
  RowBlocks blocks(without_dim(first, axis).elements(), first.shape[axis]);
  for (const Tensor& tensor : tensors) {
    if (tensor.rank != first.rank || size_of(tensor.dtype) == 0) return 0;
    blocks.add(tensor.dtype, first.shape[axis] > 1 ? tensor.strides[axis] : 1);
  }
  return blocks.staging_bytes();
}

}  // namespace logsum
