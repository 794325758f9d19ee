// SPDX-License-Identifier: Apache-2.0
// The checks that every operation's arguments go through, once. Each failure names the operation,
// the argument, what it was and what it must be.
#pragma once

#include <initializer_list>

#include "core/rows.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

struct Text {
  char s[120];
};

Text describe_shape(const Tensor& tensor) noexcept;

// A dimension that may be counted from the end.
constexpr int axis_of(std::int64_t dim, int rank) noexcept {
  return static_cast<int>(dim < 0 ? dim + rank : dim);
}

// A tensor's dimensions but one: what has a value per row along it. No data.
Tensor without_dim(const Tensor& tensor, int axis) noexcept;

// Both are the same elements in the same order.
bool same_view(const Tensor& a, const Tensor& b) noexcept;

// A tensor argument with its name, for messages.
struct Argument {
  const char* name;
  const Tensor& tensor;
};

class Checker {
 public:
  // All tensors must be where `device` says, which is where the operation's first tensor is.
  Checker(const char* operation, Device device) : operation_(operation), device_(device) {}

  // Structure of any tensor: rank, sizes, a pointer where there are elements, a device we run on,
  // alignment to the element's size, no overflow of the address space.
  Status tensor(const Argument& argument) const noexcept;

  Status dtype(const Argument& argument, std::initializer_list<DType> allowed) const noexcept;

  // `argument` has `reference`'s first `leading` dimensions, then (where inner > 0) one of `inner`.
  Status shape(const Argument& argument, const Argument& reference, int leading,
               std::int64_t inner) const noexcept;

  // Rows along any dimension of a tensor of f32, f16 or bf16 with any strides; fills the view.
  Status rows(const Argument& argument, std::int64_t dim, RowsView& view) const noexcept;

  // logits [..., V] with unit stride along V; fills the view.
  Status logits(const Argument& argument, std::int64_t vocab_size, RowsView& view) const noexcept;

  // A written tensor whose elements don't overlap one another.
  Status writable(const Argument& argument) const noexcept;

  // An element-wise tensor over the rows of `reference`; fills the view. Absent is fine where
  // optional.
  struct Elements {
    std::initializer_list<DType> dtypes;
    std::int64_t inner = 0;  // > 0: one more dimension of this size
    bool required = false;
    bool output = false;
  };
  Status elements(const Argument& argument, const Argument& reference, int leading,
                  const Elements& spec, ElementsView& view) const noexcept;

  // An optional output of one element, of any rank; fills the view.
  Status one_element(const Argument& argument, DType dtype, ElementsView& view) const noexcept;

  // A tensor parameter over the rows, or a single element for all of them.
  Status per_row(const Argument& argument, const Argument& reference, int leading,
                 std::initializer_list<DType> dtypes, ElementsView& view) const noexcept;

  // No output shares memory with an input or another output.
  Status no_overlap(std::initializer_list<Argument> outputs,
                    std::initializer_list<Argument> inputs) const noexcept;

  Status invalid(const char* format, ...) const noexcept LOGSUM_PRINTF_FORMAT(2, 3);

  const char* operation() const noexcept { return operation_; }
  Device device() const noexcept { return device_; }

 private:
  const char* operation_;
  Device device_;
};

}  // namespace logsum
