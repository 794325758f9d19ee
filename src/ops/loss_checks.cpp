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
  return check.invalid("%s is %g, must be finite and at least 2^-1022, or 0 to be counted", name,
                       given.value);
}

Status check_factor(const Checker& check, const char* name, const PerRow<double>& given,
                    ScalarView& view) noexcept {
  LOGSUM_RETURN_IF_ERROR(check_scalar(check, name, given, {DType::f32, DType::f64}, view));
  if (given.tensor.present() || is_finite(given.value)) return {};
  return check.invalid("%s is %g, must be finite", name, given.value);
}

Status check_range(const Checker& check, const OptionRange& r) noexcept {
  const auto value = static_cast<double>(r.value);
  if (r.may_be_none && value == HUGE_VAL) return {};
  if ((r.is_open ? value > r.least : value >= r.least) && value <= r.most) return {};
  return check.invalid("options.%s is %g, must be in %c%g, %g]%s", r.name, value,
                       r.is_open ? '(' : '[', r.least, r.most,
                       r.may_be_none ? ", or +inf for none" : "");
}

Status check_gradient(const Checker& check, const Argument& grad, const Argument& logits,
                      std::int64_t columns, RowsView& view, std::int64_t& padded) noexcept {
  if (!grad.tensor.present()) return {};
  LOGSUM_RETURN_IF_ERROR(check.logits(grad, 0, view));
  LOGSUM_RETURN_IF_ERROR(check.shape(grad, logits, logits.tensor.rank, 0));
  if (grad.tensor.dtype != logits.tensor.dtype && grad.tensor.dtype != DType::f32)
    return check.invalid("%s has dtype %s, must be %s (%s') or f32", grad.name,
                         to_string(grad.tensor.dtype), to_string(logits.tensor.dtype), logits.name);
  LOGSUM_RETURN_IF_ERROR(check.writable(grad));
  padded = view.columns - columns;
  view.columns = columns;
  return {};
}

Status SequenceChecks::sequences(const Tensor& cu_seqlens) noexcept {
  const Tensor& logits = logits_.tensor;
  const bool is_packed = cu_seqlens.present();
  if (leading_ < 1 || (is_packed && leading_ != 1))
    return check_.invalid("logits has shape %s, must be %s", describe_shape(logits).s,
                          is_packed ? "[N, V] where cu_seqlens is given" : "[..., T, V]");
  sequence_dims_ = leading_ - 1;
  LOGSUM_RETURN_IF_ERROR(check_sequences(check_, {"logits", without_dim(logits, logits.rank - 1)},
                                         {"cu_seqlens", cu_seqlens}, plan_.sequences));
  if (is_packed && plan_.sequences.count == 0 && plan_.logits.rows > 0)
    return check_.invalid("cu_seqlens has shape [1], no sequences, must have some for %lld rows",
                          static_cast<long long>(plan_.logits.rows));
  return is_packed && check_.device().type == DeviceType::cpu ? rising() : Status();
}

Status SequenceChecks::tokens(const char* name, const Tensor& tensor,
                              std::initializer_list<DType> dtypes, ElementsView& view,
                              bool required) const noexcept {
  return check_.elements({name, tensor}, logits_, leading_,
                         {.dtypes = dtypes, .required = required}, view);
}

Status SequenceChecks::output(const char* name, const Tensor& tensor,
                              std::initializer_list<DType> dtypes,
                              ElementsView& view) const noexcept {
  return check_.elements({name, tensor}, logits_, leading_, {.dtypes = dtypes, .output = true},
                         view);
}

Status SequenceChecks::tokens_or_sequences(const char* name, const Tensor& tensor, bool required,
                                           TokenOrSequenceView& view) const noexcept {
  if (!tensor.present()) return required ? check_.invalid("%s is missing", name) : Status();
  LOGSUM_RETURN_IF_ERROR(check_.tensor({name, tensor}));
  const bool is_packed = static_cast<bool>(plan_.sequences.cu_seqlens);
  const bool is_one = !is_packed && sequence_dims_ == 0 && tensor.elements() == 1 &&
                      (tensor.rank == 0 || plan_.sequences.length != 1);
  view.is_per_sequence = is_packed ? tensor.rank == 1 && tensor.shape[0] == plan_.sequences.count &&
                                         plan_.sequences.count != plan_.logits.rows
                                   : tensor.rank == sequence_dims_ || is_one;
  if (!view.is_per_sequence) return tokens(name, tensor, {DType::f32}, view.tensor);
  LOGSUM_RETURN_IF_ERROR(check_.dtype({name, tensor}, {DType::f32}));
  if (is_one) {
    fill_view(tensor, view.tensor);
    return {};
  }
  const Argument argument{name, tensor};
  return check_.elements(argument, is_packed ? argument : logits_, tensor.rank,
                         {.dtypes = {DType::f32}}, view.tensor);
}

Status SequenceChecks::of_sequences(const char* name, const Tensor& tensor,
                                    std::initializer_list<DType> dtypes, Use use,
                                    ElementsView& view) const noexcept {
  if (plan_.sequences.cu_seqlens || sequence_dims_ == 0)
    return in_one_dimension(name, tensor, dtypes, plan_.sequences.count, use, view);
  return check_.elements({name, tensor}, logits_, sequence_dims_,
                         {.dtypes = dtypes, .output = use == Use::output}, view);
}

Status SequenceChecks::in_one_dimension(const char* name, const Tensor& tensor,
                                        std::initializer_list<DType> dtypes, std::int64_t count,
                                        Use use, ElementsView& view) const noexcept {
  if (!tensor.present()) return {};
  LOGSUM_RETURN_IF_ERROR(check_few(check_, {name, tensor}, dtypes, count, use, view));
  view.inner_bytes = 0;
  view.index = RowIndex(tensor, tensor.rank, tensor.dtype);
  return {};
}

Status SequenceChecks::rising() const noexcept {
  std::int64_t before = 0;
  for (std::int64_t i = 0; i <= plan_.sequences.count; ++i) {
    const std::int64_t value = plan_.sequences.cu_seqlens.integer(i);
    if (i == 0 ? value != 0 : value < before || value > plan_.logits.rows)
      return check_.invalid("cu_seqlens[%lld] is %lld, must rise from 0 to %lld (N)",
                            static_cast<long long>(i), static_cast<long long>(value),
                            static_cast<long long>(plan_.logits.rows));
    before = value;
  }
  if (before == plan_.logits.rows) return {};
  return check_.invalid("cu_seqlens ends at %lld, must end at %lld (N)",
                        static_cast<long long>(before), static_cast<long long>(plan_.logits.rows));
}

LossCounts::LossCounts(const Tensor& logits, const Tensor& cu_seqlens) noexcept {
  const int leading = logits.rank - 1;
  for (int i = 0; i < leading; ++i) {
    rows *= static_cast<std::size_t>(logits.shape[i]);
    if (i < leading - 1) sequences *= static_cast<std::size_t>(logits.shape[i]);
  }
  if (cu_seqlens.rank == 1 && cu_seqlens.shape[0] > 0)
    sequences = static_cast<std::size_t>(cu_seqlens.shape[0]);
  are_too_many = rows > kMostWorkspace / 1024 || sequences > kMostWorkspace / 1024;
}

}  // namespace logsum
