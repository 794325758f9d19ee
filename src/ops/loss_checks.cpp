// SPDX-License-Identifier: Apache-2.0
#include "ops/loss_checks.hpp"

namespace logsum {

namespace {

// What a view of a checked tensor of few elements is.
void fill_view(const Tensor& tensor, ElementsView& view) noexcept {
  view.data = static_cast<std::byte*>(tensor.data);
  view.dtype = tensor.dtype;
}

Status check_scalar(const Checker& check, const char* name, const PerRow<double>& given,
                    std::initializer_list<DType> dtypes, ScalarView& view) noexcept {
  view.value = given.value;
  return check_few(check, {name, given.tensor}, dtypes, 1, Use::input, view.tensor);
}

}  // namespace

Status check_few(const Checker& check, const Argument& argument,
                 std::initializer_list<DType> dtypes, std::int64_t size, Use use,
                 ElementsView& view) noexcept {
  const Tensor& t = argument.tensor;
  if (!t.present()) return {};
  LOGSUM_RETURN_IF_ERROR(check.tensor(argument));
  LOGSUM_RETURN_IF_ERROR(check.dtype(argument, dtypes));
  if (t.elements() != size || (size > 1 && t.rank != 1))
    return size == 1 ? check.invalid("%s has shape %s, must have one element", argument.name,
                                     describe_shape(t).s)
                     : check.invalid("%s has shape %s, must be [%lld]", argument.name,
                                     describe_shape(t).s, static_cast<long long>(size));
  if (use == Use::output) LOGSUM_RETURN_IF_ERROR(check.writable(argument));
  fill_view(t, view);
  if (size > 1) view.inner_bytes = in_bytes(t.strides[0], t.dtype);
  return {};
}

Status check_normalizer(const Checker& check, const char* name, const PerRow<double>& given,
                        ScalarView& view) noexcept {
  LOGSUM_RETURN_IF_ERROR(
      check_scalar(check, name, given, {DType::f32, DType::f64, DType::i32, DType::i64}, view));
  if (given.tensor.present() || is_normalizer(given.value)) return {};
  return check.invalid("%s is %g, must be finite and above 0, or 0 to be counted", name,
                       given.value);
}

Status check_factor(const Checker& check, const char* name, const PerRow<double>& given,
                    ScalarView& view) noexcept {
  LOGSUM_RETURN_IF_ERROR(check_scalar(check, name, given, {DType::f32, DType::f64}, view));
  if (given.tensor.present() || is_finite(given.value)) return {};
  return check.invalid("%s is %g, must be finite", name, given.value);
}

}  // namespace logsum
