// SPDX-License-Identifier: Apache-2.0
// The checks that all losses' arguments go through (ops/loss_plan.hpp).
#pragma once

#include "core/check.hpp"
#include "core/workspace.hpp"
#include "ops/loss_plan.hpp"
#include "ops/temperature.hpp"

namespace logsum {

// An optional tensor of `size` elements: one, of any rank, or more in one dimension.
enum class Use { input, output };
Status check_few(const Checker& check, const Argument& argument,
                 std::initializer_list<DType> dtypes, std::int64_t size, Use use,
                 ElementsView& view) noexcept;

// A number, or a tensor of one element: a normalizer, where 0 asks for counting, or a factor.
Status check_normalizer(const Checker& check, const char* name, const PerRow<double>& given,
                        ScalarView& view) noexcept;
Status check_factor(const Checker& check, const char* name, const PerRow<double>& given,
                    ScalarView& view) noexcept;

// A finite option within a range.
struct OptionRange {
  const char* name;
  float value;
  double least, most;  // least itself is refused where is_open
  bool is_open = false;
  bool may_be_none = false;  // +inf
};
Status check_range(const Checker& check, const OptionRange& range) noexcept;

template <class Enum>
Status check_enum(const Checker& check, const char* name, Enum value, Enum last) noexcept {
  if (value <= last) return {};
  return check.invalid("options.%s is %d, must be in [0, %d]", name, static_cast<int>(value),
                       static_cast<int>(last));
}

// The gradient of checked logits, which have `columns`; `padded`: how many more it has.
Status check_gradient(const Checker& check, const Argument& grad, const Argument& logits,
                      std::int64_t columns, RowsView& view, std::int64_t& padded) noexcept;

// Arguments that depend on how sequences lie in the rows of logits.
class SequenceChecks {
 public:
  SequenceChecks(const Checker& check, const Argument& logits, LossPlan& plan) noexcept
      : check_(check), logits_(logits), leading_(logits.tensor.rank - 1), plan_(plan) {}

  // First of all.
  Status sequences(const Tensor& cu_seqlens) noexcept;

  Status tokens(const char* name, const Tensor& tensor, std::initializer_list<DType> dtypes,
                ElementsView& view, bool required = false) const noexcept;
  Status output(const char* name, const Tensor& tensor, std::initializer_list<DType> dtypes,
                ElementsView& view) const noexcept;
  // f32.
  Status tokens_or_sequences(const char* name, const Tensor& tensor, bool required,
                             TokenOrSequenceView& view) const noexcept;
  // One element per sequence, or `count` of them in one dimension.
  Status of_sequences(const char* name, const Tensor& tensor, std::initializer_list<DType> dtypes,
                      Use use, ElementsView& view) const noexcept;
  Status in_one_dimension(const char* name, const Tensor& tensor,
                          std::initializer_list<DType> dtypes, std::int64_t count, Use use,
                          ElementsView& view) const noexcept;

 private:
  Status rising() const noexcept;

  const Checker& check_;
  Argument logits_;
  int leading_;
  int sequence_dims_ = 0;
  LossPlan& plan_;
};

// What all losses take of rows, and where their gradient goes.
template <class Args>
Status check_rows_of_loss(const Checker& check, const Argument& logits,
                          const SequenceChecks& shapes, const Args& args, LossPlan& plan) noexcept {
  LOGSUM_RETURN_IF_ERROR(
      shapes.tokens("targets", args.targets, {DType::i32, DType::i64}, plan.targets, true));
  LOGSUM_RETURN_IF_ERROR(shapes.tokens("completion_mask", args.completion_mask,
                                       {DType::boolean, DType::u8}, plan.completion_mask));
  LOGSUM_RETURN_IF_ERROR(check_gradient(check, {"grad_logits", args.grad_logits}, logits,
                                        plan.logits.columns, plan.grad_logits,
                                        plan.padded_columns));
  LOGSUM_RETURN_IF_ERROR(check_temperature(check, args.temperature, logits, logits.tensor.rank - 1,
                                           ZeroTemperature::refused, plan.temperature));
  LOGSUM_RETURN_IF_ERROR(check_factor(check, "grad_scale", args.grad_scale, plan.grad_scale));
  plan.ignore_index = args.ignore_index;
  return {};
}

// How many rows logits have, and how many sequences, as far as a workspace's size needs to know.
struct LossCounts {
  std::size_t rows = 1, sequences = 1;
  bool are_too_many = false;
  LossCounts(const Tensor& logits, const Tensor& cu_seqlens) noexcept;
};

// Workspace of a loss: what its visit takes, then what `bytes_of(counts, is_cuda)` says is kept.
template <class BytesOf>
std::size_t loss_workspace_size(const Tensor& logits, const Tensor& cu_seqlens,
                                std::int64_t vocab_size, const BytesOf& bytes_of) noexcept {
  const int leading = logits.rank - 1;
  const std::int64_t columns = columns_of(logits, vocab_size);
  const bool is_cuda = logits.device.type == DeviceType::cuda;
  const std::size_t visit = is_cuda ? span_workspace_bytes(logits, leading, columns, 1)
                                    : workspace_bytes<TileRecord>(logits, leading, columns);
  if (visit == 0 || visit >= kMostWorkspace / 2) return visit;
  const LossCounts counts(logits, cu_seqlens);
  return counts.are_too_many ? kMostWorkspace : Layout::aligned(visit) + bytes_of(counts, is_cuda);
}

}  // namespace logsum
