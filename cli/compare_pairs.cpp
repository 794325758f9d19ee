// SPDX-License-Identifier: Apache-2.0
#include "compare_pairs.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "errors.hpp"
#include "table.hpp"

namespace logsum::cli {
namespace {

bool holds_logps(const io::ArrayInfo& array) {
  return is_floating(array.dtype) && (array.shape.size() == 1 || array.shape.size() == 2);
}

Input open_logps(const std::string& text, const Input* same_file, const NamedBy& named) {
  Input input = open_array(text, same_file,
                           {.name = "logprob",
                            .description = "floating tensor with one or two dimensions",
                            .qualifies = holds_logps},
                           named);
  const auto refuse = [&](const std::string& why) {
    throw DataError(fmt::format("{}: log-probs have {}", input.label, why));
  };
  if (!is_floating(input.array.dtype))
    refuse(fmt::format("dtype {}, must be f32, f16, bf16 or f64", to_string(input.array.dtype)));
  if (input.array.shape.empty() || input.array.shape.size() > 2)
    refuse(fmt::format("shape {}, must be [T] or [B, T]", io::shape_text(input.array.shape)));
  if (input.array.bytes == 0)
    refuse(
        fmt::format("shape {}, must have at least one token", io::shape_text(input.array.shape)));
  return input;
}

void check_shape(const Input& input, const char* what, const Input& rollout) {
  if (input.array.shape != rollout.array.shape)
    throw DataError(fmt::format("{}: {} shape {}, must be that of {}, {}", input.label, what,
                                io::shape_text(input.array.shape), rollout.label,
                                io::shape_text(rollout.array.shape)));
}

std::vector<std::int64_t> read_integers(const std::string& text, const Input& rollout,
                                        const Wanted& wanted, const char* allowed) {
  const Input input = open_array(text, &rollout, wanted);
  if (!wanted.qualifies(input.array))
    throw DataError(fmt::format("{}: {} has dtype {}, must be {}", input.label, wanted.name,
                                to_string(input.array.dtype), allowed));
  check_shape(input, fmt::format("{} has", wanted.name).c_str(), rollout);
  return integers_of(input.array);
}

void count(Pairs& p) {
  for (std::int64_t i = 0; i < p.size(); ++i) {
    if (!p.is_counted(i)) {
      ++p.masked;
      continue;
    }
    bool finite = true, above = false;
    for (const int side : {0, 1}) {
      const double x = p.logps[side][static_cast<std::size_t>(i)];
      above |= x > kAboveZero;
      if (std::abs(x) <= static_cast<double>(std::numeric_limits<float>::max())) continue;
      finite = false;
      p.not_finite.push_back({side, i, x});
    }
    p.counts[static_cast<std::size_t>(i)] = finite;
    p.left_out += !finite;
    p.compared += finite;
    p.above_zero += finite && above;
  }
}

}  // namespace

Pairs read_pairs(const PairsOptions& options) {
  const Input rollout =
      open_logps(options.rollout, nullptr, {"--rollout-name", options.rollout_name});
  const Input trainer =
      open_logps(options.trainer, &rollout, {"--trainer-name", options.trainer_name});
  check_shape(trainer, "log-probs have", rollout);
  Pairs p;
  const Input* inputs[] = {&rollout, &trainer};
  for (const int side : {0, 1}) {
    p.labels[side] = inputs[side]->label;
    p.dtypes[side] = inputs[side]->array.dtype;
    p.logps[side] = doubles_of(inputs[side]->array);
  }
  p.shape = rollout.array.shape;
  p.counts.assign(p.logps[0].size(), 1);
  if (options.mask) {
    const auto mask = read_integers(*options.mask, rollout,
                                    {"mask", "tensor of i64, i32, u8 or bool", holds_a_mask},
                                    "i64, i32, u8 or bool");
    for (std::size_t i = 0; i < mask.size(); ++i) p.counts[i] = mask[i] != 0;
  }
  if (options.tokens)
    p.tokens = read_integers(*options.tokens, rollout,
                             {"tokens", "tensor of i64 or i32", holds_integers}, "i64 or i32");
  count(p);
  if (p.masked == p.size())
    throw DataError(fmt::format("{}: the mask is 0 for all {} tokens, nothing is left to compare",
                                p.labels[0], p.size()));
  if (p.compared == 0)
    throw DataError(fmt::format("{}: none of the {} tokens is finite in both arrays: {}",
                                p.labels[0], p.left_out, describe(p, p.not_finite.front())));
  return p;
}

std::string describe(const Pairs& pairs, const NotFinite& bad) {
  return fmt::format(
      "{} {} is {}", bad.side == 0 ? "rollout" : "trainer", row_name(pairs.shape, bad.at),
      std::isfinite(bad.value) ? fmt::format("{:.3g}", bad.value) : short_number(bad.value));
}

}  // namespace logsum::cli
