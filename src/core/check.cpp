// SPDX-License-Identifier: Apache-2.0
#include "core/check.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace logsum {
namespace {

// Bytes from the lowest to one past the highest element; [0, 0) for a tensor without elements.
struct Extent {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

bool extent_of(const Tensor& tensor, Extent& extent) {
  __int128 low = 0;
  __int128 high = 0;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return true;
    const __int128 reach = static_cast<__int128>(tensor.shape[i] - 1) * tensor.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  const __int128 size = static_cast<__int128>(size_of(tensor.dtype));
  const __int128 base = static_cast<__int128>(reinterpret_cast<std::uintptr_t>(tensor.data));
  const __int128 begin = base + low * size;
  const __int128 end = base + (high + 1) * size;
  if (begin < 0 || end > static_cast<__int128>(UINTPTR_MAX)) return false;
  extent = {static_cast<std::uintptr_t>(begin), static_cast<std::uintptr_t>(end)};
  return true;
}

// Tensors may share a range without sharing a byte: fields of an array of records, for example.
// Where every stride of both is a multiple of some period, they are apart if they occupy different
// bytes of the period.
bool interleaved(const Tensor& a, const Tensor& b) {
  std::int64_t period = 0;
  for (const Tensor* t : {&a, &b})
    for (int i = 0; i < t->rank; ++i)
      if (t->shape[i] > 1)
        period = std::gcd(period, t->strides[i] * static_cast<std::int64_t>(size_of(t->dtype)));
  if (period == 0) return false;
  const auto unsigned_period = static_cast<std::uintptr_t>(period);
  const std::uintptr_t distance = (reinterpret_cast<std::uintptr_t>(b.data) -
                                   reinterpret_cast<std::uintptr_t>(a.data) % unsigned_period) %
                                  unsigned_period;
  return distance >= size_of(a.dtype) && distance + size_of(b.dtype) <= unsigned_period;
}

void append(Text& text, std::size_t& length, const char* format, std::int64_t value) {
  const std::size_t room = sizeof text.s - length;
  const int n = std::snprintf(text.s + length, room, format, static_cast<long long>(value));
  length += std::min<std::size_t>(n > 0 ? static_cast<std::size_t>(n) : 0, room - 1);
}

Text describe_dtypes(std::initializer_list<DType> dtypes) {
  Text text{};
  std::size_t length = 0;
  for (DType dtype : dtypes) {
    const std::size_t room = sizeof text.s - length;
    const int n =
        std::snprintf(text.s + length, room, "%s%s", length ? " or " : "", to_string(dtype));
    length += std::min<std::size_t>(n > 0 ? static_cast<std::size_t>(n) : 0, room - 1);
  }
  return text;
}

}  // namespace

Text describe_shape(const Tensor& tensor) noexcept {
  Text text{};
  std::size_t length = 0;
  append(text, length, "[", 0);
  for (int i = 0; i < std::min<int>(tensor.rank, kMaxRank); ++i)
    append(text, length, i ? ", %lld" : "%lld", tensor.shape[i]);
  append(text, length, "]", 0);
  return text;
}

Tensor without_dim(const Tensor& tensor, int axis) noexcept {
  Tensor rows;
  for (int i = 0; i < tensor.rank; ++i) {
    if (i == axis) continue;
    rows.shape[rows.rank] = tensor.shape[i];
    rows.strides[rows.rank++] = tensor.strides[i];
  }
  return rows;
}

bool same_view(const Tensor& a, const Tensor& b) noexcept {
  if (a.data != b.data || a.dtype != b.dtype || a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; ++i)
    if (a.shape[i] != b.shape[i] || (a.shape[i] > 1 && a.strides[i] != b.strides[i])) return false;
  return true;
}

Status Checker::invalid(const char* format, ...) const noexcept {
  char message[280];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return Status::error(StatusCode::invalid_argument, "%s: %s", operation_, message);
}

Status Checker::tensor(const Argument& argument) const noexcept {
  const Tensor& t = argument.tensor;
  if (t.rank < 0 || t.rank > kMaxRank)
    return invalid("%s has %d dimensions, must have 0 to %d", argument.name, t.rank, kMaxRank);
  if (size_of(t.dtype) == 0)
    return invalid("%s has no known dtype (%d)", argument.name, static_cast<int>(t.dtype));
  if (t.device.type != DeviceType::cpu && t.device.type != DeviceType::cuda)
    return Status::error(StatusCode::unsupported,
                         "%s: %s is on device type %d, must be cpu (1) or cuda (2)", operation_,
                         argument.name, static_cast<int>(t.device.type));
  if (t.device != device_)
    return invalid("%s is on device type %d, index %d, must be where the first tensor is: %d, %d",
                   argument.name, static_cast<int>(t.device.type), t.device.index,
                   static_cast<int>(device_.type), device_.index);
  std::int64_t elements = 1;
  for (int i = 0; i < t.rank; ++i) {
    if (t.shape[i] < 0)
      return invalid("%s has shape %s, sizes must not be negative", argument.name,
                     describe_shape(t).s);
    if (__builtin_mul_overflow(elements, std::max<std::int64_t>(t.shape[i], 1), &elements) ||
        elements > INT64_MAX / 8)
      return invalid("%s has shape %s, more elements than memory can hold", argument.name,
                     describe_shape(t).s);
  }
  if (t.elements() == 0) return {};
  if (t.data == nullptr)
    return invalid("%s has shape %s and a null pointer", argument.name, describe_shape(t).s);
  const std::size_t size = size_of(t.dtype);
  if (reinterpret_cast<std::uintptr_t>(t.data) % size != 0)
    return invalid("%s is at %p, %s needs alignment to %zu bytes", argument.name, t.data,
                   to_string(t.dtype), size);
  Extent extent;
  if (!extent_of(t, extent))
    return invalid("%s has strides that reach beyond the address space", argument.name);
  return {};
}

Status Checker::dtype(const Argument& argument,
                      std::initializer_list<DType> allowed) const noexcept {
  if (std::find(allowed.begin(), allowed.end(), argument.tensor.dtype) != allowed.end()) return {};
  return invalid("%s has dtype %s, must be %s", argument.name, to_string(argument.tensor.dtype),
                 describe_dtypes(allowed).s);
}

Status Checker::shape(const Argument& argument, const Argument& reference, int leading,
                      std::int64_t inner) const noexcept {
  if (leading + (inner > 0 ? 1 : 0) > kMaxRank)
    return invalid("%s must have %d dimensions (%s has %d), at most %d are possible", argument.name,
                   leading + 1, reference.name, reference.tensor.rank, kMaxRank);
  Tensor wanted;
  wanted.rank = leading + (inner > 0 ? 1 : 0);
  std::copy_n(reference.tensor.shape, leading, wanted.shape);
  if (inner > 0) wanted.shape[leading] = inner;
  if (argument.tensor.rank == wanted.rank &&
      std::equal(wanted.shape, wanted.shape + wanted.rank, argument.tensor.shape))
    return {};
  return invalid("%s has shape %s, must be %s (%s is %s)", argument.name,
                 describe_shape(argument.tensor).s, describe_shape(wanted).s, reference.name,
                 describe_shape(reference.tensor).s);
}

Status Checker::rows(const Argument& argument, std::int64_t dim, RowsView& view) const noexcept {
  const Tensor& t = argument.tensor;
  if (!t.present()) return invalid("%s is missing", argument.name);
  LOGSUM_RETURN_IF_ERROR(tensor(argument));
  LOGSUM_RETURN_IF_ERROR(dtype(argument, {DType::f32, DType::f16, DType::bf16}));
  if (t.rank < 1) return invalid("%s has no dimensions, must be [..., V]", argument.name);
  if (dim < -t.rank || dim >= t.rank)
    return invalid("dim is %lld, must be in [%d, %d] (%s has shape %s)",
                   static_cast<long long>(dim), -t.rank, t.rank - 1, argument.name,
                   describe_shape(t).s);
  const int axis = axis_of(dim, t.rank);
  const std::int64_t columns = t.dim(axis);
  if (columns < 1 || columns > INT32_MAX)
    return invalid("%s has shape %s, V must be in [1, 2^31 - 1]", argument.name,
                   describe_shape(t).s);
  const Tensor rows = without_dim(t, axis);
  view.data = static_cast<std::byte*>(t.data);
  view.dtype = t.dtype;
  view.rows = rows.elements();
  view.columns = columns;
  view.stride = columns > 1 ? t.strides[axis] : 1;
  view.index = RowIndex(rows, rows.rank, t.dtype);
  return {};
}

Status Checker::logits(const Argument& argument, std::int64_t vocab_size,
                       RowsView& view) const noexcept {
  LOGSUM_RETURN_IF_ERROR(rows(argument, -1, view));
  if (view.stride != 1)
    return invalid("%s has stride %lld along V, must be 1", argument.name,
                   static_cast<long long>(view.stride));
  if (vocab_size < 0 || vocab_size > view.columns)
    return invalid("vocab_size is %lld, must be in [1, %lld] (V), or 0 for all of V",
                   static_cast<long long>(vocab_size), static_cast<long long>(view.columns));
  if (vocab_size) view.columns = vocab_size;
  return {};
}

// Sufficient, and necessary but for layouts nobody has: each stride steps over all that the smaller
// strides reach.
Status Checker::writable(const Argument& argument) const noexcept {
  const Tensor& t = argument.tensor;
  if (t.elements() == 0) return {};
  for (int i = 0; i < t.rank; ++i) {
    if (t.shape[i] == 1) continue;
    const std::int64_t stride = std::abs(t.strides[i]);
    std::int64_t reach = 0;
    for (int j = 0; j < t.rank; ++j) {
      const std::int64_t other = std::abs(t.strides[j]);
      if (other < stride || (other == stride && j < i)) reach += other * (t.shape[j] - 1);
    }
    if (stride <= reach || stride == 0)
      return invalid("%s is written and its elements overlap: stride %lld in dimension %d",
                     argument.name, static_cast<long long>(t.strides[i]), i);
  }
  return {};
}

Status Checker::elements(const Argument& argument, const Argument& reference, int leading,
                         const Elements& spec, ElementsView& view) const noexcept {
  const Tensor& t = argument.tensor;
  if (!t.present()) return spec.required ? invalid("%s is missing", argument.name) : Status();
  LOGSUM_RETURN_IF_ERROR(tensor(argument));
  LOGSUM_RETURN_IF_ERROR(dtype(argument, spec.dtypes));
  LOGSUM_RETURN_IF_ERROR(shape(argument, reference, leading, spec.inner));
  if (spec.output) LOGSUM_RETURN_IF_ERROR(writable(argument));
  view.data = static_cast<std::byte*>(t.data);
  view.dtype = t.dtype;
  view.index = RowIndex(t, leading, t.dtype);
  view.inner_bytes = spec.inner > 0 ? in_bytes(t.strides[leading], t.dtype) : 0;
  return {};
}

Status Checker::one_element(const Argument& argument, DType required,
                            ElementsView& view) const noexcept {
  const Tensor& t = argument.tensor;
  if (!t.present()) return {};
  LOGSUM_RETURN_IF_ERROR(tensor(argument));
  LOGSUM_RETURN_IF_ERROR(dtype(argument, {required}));
  if (t.elements() != 1)
    return invalid("%s has shape %s, must have one element", argument.name, describe_shape(t).s);
  view.data = static_cast<std::byte*>(t.data);
  view.dtype = required;
  return {};
}

Status Checker::per_row(const Argument& argument, const Argument& reference, int leading,
                        std::initializer_list<DType> dtypes, ElementsView& view) const noexcept {
  const Tensor& t = argument.tensor;
  if (!t.present()) return {};
  LOGSUM_RETURN_IF_ERROR(tensor(argument));
  if (t.elements() != 1 || t.rank > 1)
    return elements(argument, reference, leading, {.dtypes = dtypes}, view);
  LOGSUM_RETURN_IF_ERROR(dtype(argument, dtypes));
  view.data = static_cast<std::byte*>(t.data);
  view.dtype = t.dtype;
  view.index = RowIndex();
  return {};
}

Status Checker::no_overlap(std::initializer_list<Argument> outputs,
                           std::initializer_list<Argument> inputs) const noexcept {
  const auto overlaps = [](const Tensor& a, const Tensor& b) {
    Extent x, y;
    if (!a.present() || !b.present() || !extent_of(a, x) || !extent_of(b, y)) return false;
    return x.begin < y.end && y.begin < x.end && !interleaved(a, b);
  };
  for (const Argument* out = outputs.begin(); out != outputs.end(); ++out) {
    for (const Argument* other = out + 1; other != outputs.end(); ++other)
      if (overlaps(out->tensor, other->tensor))
        return invalid("outputs %s and %s overlap in memory", out->name, other->name);
    for (const Argument& in : inputs)
      if (overlaps(out->tensor, in.tensor))
        return invalid("output %s overlaps input %s in memory", out->name, in.name);
  }
  return {};
}

}  // namespace logsum
