// SPDX-License-Identifier: Apache-2.0
// cross_entropy with every output asked for, and its text: the loss of a batch in float64 as a
// function of the logits, from the formula alone. Outputs hold 99 before the call.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "logsum/cross_entropy.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"
#include "support/outputs.hpp"
#include "support/truth.hpp"

namespace logsum::test {

// Empty vectors are absent tensors.
struct Classes {
  std::int64_t columns = 2;
  DType dtype = DType::f32;
  std::vector<std::vector<float>> logits;  // as the dtype holds them
  std::vector<std::int64_t> targets;
  std::vector<float> weights, grad_loss;
  Reduction reduction = Reduction::mean;
  float label_smoothing = 0, lse_square_scale = 0, softcap = 0;
  double normalizer = 0, grad_scale = 1;
  std::int64_t ignore_index = -100;
  std::int64_t vocab_size = 0;

  std::size_t rows() const { return logits.size(); }
  bool counts(std::size_t row) const { return targets[row] != ignore_index; }
  std::int64_t classes() const { return vocab_size ? vocab_size : columns; }
  double weight(std::int64_t column) const {
    return weights.empty() ? 1.0 : static_cast<double>(weights[static_cast<std::size_t>(column)]);
  }
};

// Rows of every kind of width, one of which is ignored.
inline Classes class_batch(std::int64_t rows, std::int64_t columns, std::uint32_t seed,
                           DType dtype = DType::f32) {
  Classes c;
  c.columns = columns;
  c.dtype = dtype;
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<float> z = gaussian(columns, seed * 1000 + std::uint32_t(i), 3, 0);
    for (float& x : z) x = rounded_to(x, dtype);
    c.logits.push_back(z);
    c.targets.push_back(i == 1 ? c.ignore_index : (i * 37 + 5) % columns);
  }
  return c;
}

inline std::vector<float> class_weights(std::int64_t columns) {
  std::vector<float> weights;
  for (std::int64_t j = 0; j < columns; ++j)
    weights.push_back(0.25f + 0.5f * static_cast<float>(j % 5));
  return weights;
}

// The text.
struct ClassLoss {
  double loss = 0, z_loss = 0;
  double size = 0;  // of the terms
};

inline double capped(double z, double cap) { return cap == 0 ? z : cap * std::tanh(z / cap); }

// Of one row of (stored) logits; l, and λ·lse² of it.
inline ClassLoss loss_of_row(const Classes& c, const std::vector<double>& z, std::size_t row) {
  const auto cap = static_cast<double>(c.softcap), epsilon = double(c.label_smoothing);
  const auto n = static_cast<std::size_t>(c.classes());
  double max = -HUGE_VAL, sum = 0;
  for (std::size_t j = 0; j < n; ++j) max = std::max(max, capped(z[j], cap));
  for (std::size_t j = 0; j < n; ++j) sum += std::exp(capped(z[j], cap) - max);
  const double lse = max + std::log(sum);
  ClassLoss l;
  const auto add = [&](double term) {
    l.loss += term;
    l.size += std::fabs(term);
  };
  const std::int64_t y = c.targets[row];
  add((1 - epsilon) * c.weight(y) * (lse - capped(z[static_cast<std::size_t>(y)], cap)));
  for (std::size_t j = 0; j < n && epsilon != 0; ++j)
    add(epsilon / double(n) * c.weight(std::int64_t(j)) * (lse - capped(z[j], cap)));
  l.z_loss = double(c.lse_square_scale) * lse * lse;
  add(l.z_loss);
  return l;
}

struct ClassUnits {
  double per_token = 1, per_z = 1;
};
inline ClassUnits units_of(const Classes& c) {
  if (c.reduction != Reduction::mean) return {};
  if (c.normalizer != 0) return {1 / c.normalizer, 1 / c.normalizer};
  double count = 0, weights = 0;
  for (std::size_t i = 0; i < c.rows(); ++i) {
    if (!c.counts(i)) continue;
    ++count;
    weights += c.weight(c.targets[i]);
  }
  return {1 / weights, 1 / count};
}

inline std::vector<double> as_doubles(const std::vector<float>& z) { return {z.begin(), z.end()}; }

// Arguments for a batch and memory of their results; `args` may be changed before a call.
struct ClassForm {
  DType grad = DType::f32;
  bool in_place = false;
  std::int64_t padding = 0, misalign = 0;  // of the rows of logits and gradients
};

class ClassCall {
 public:
  explicit ClassCall(const Classes& classes, const ClassForm& form = {})
      : c(classes),
        logits(layout(form), std::int64_t(c.rows()), c.columns, c.dtype),
        grad(layout(form), std::int64_t(c.rows()), c.columns, form.grad),
        token_loss(c.rows(), 99),
        lse(c.rows(), 99),
        status(c.rows(), 99),
        in_place_(form.in_place) {
    const std::int64_t rows = std::int64_t(c.rows());
    logits.set_all(c.logits);
    args.logits = logits.tensor();
    args.targets = Tensor::of(c.targets.data(), {rows});
    if (!c.weights.empty()) args.class_weights = Tensor::of(c.weights.data(), {c.classes()});
    if (!c.grad_loss.empty()) args.grad_loss = Tensor::of(c.grad_loss.data(), {rows});
    if (c.reduction != Reduction::none) {
      args.loss = Tensor::of(&loss, {});
      args.z_loss = Tensor::of(&z_loss, {1});
    }
    args.per_token_loss = Tensor::of(token_loss.data(), {rows});
    args.lse = Tensor::of(lse.data(), {rows});
    args.row_status = Tensor::of(status.data(), {rows});
    args.grad_logits = gradients().tensor();
    args.reduction = c.reduction;
    args.label_smoothing = c.label_smoothing;
    args.lse_square_scale = c.lse_square_scale;
    args.softcap = c.softcap;
    args.normalizer = c.normalizer;
    args.grad_scale = c.grad_scale;
    args.ignore_index = c.ignore_index;
    args.vocab_size = c.vocab_size;
  }
  ClassCall(const ClassCall&) = delete;
  ClassCall& operator=(const ClassCall&) = delete;

  ClassCall& run(const Context& context = {}) {
    must(on::cross_entropy(args, context));
    EXPECT_TRUE(logits.canaries_live() && grad.canaries_live());
    return *this;
  }

  Rows& gradients() { return in_place_ ? logits : grad; }
  const Rows& gradients() const { return in_place_ ? logits : grad; }
  RowStatus status_of(std::size_t row) const { return static_cast<RowStatus>(status[row]); }
  bool gradient_is(std::size_t row, float value) const {
    for (const float x : gradients().row(std::int64_t(row)))
      if (std::isnan(value) ? !std::isnan(x) : x != value) return false;
    return true;
  }

  Classes c;
  Rows logits, grad;
  double loss = 99, z_loss = 99;
  std::vector<float> token_loss, lse;
  std::vector<std::int32_t> status;
  CrossEntropyArgs args;

 private:
  static Layout layout(const ClassForm& form) {
    return {"rows", -1, [=](std::int64_t rows, std::int64_t columns) {
              return Layout::Place{{rows, columns}, {columns + form.padding, 1}, form.misalign};
            }};
  }

  bool in_place_;
};

// Row i of a call and row j of another: all that is the row's own, to the bit.
inline ::testing::AssertionResult same_row(const ClassCall& a, std::size_t i, const ClassCall& b,
                                           std::size_t j) {
  const char* differs = nullptr;
  if (!same_bits(a.token_loss[i], b.token_loss[j])) differs = "per_token_loss";
  if (!same_bits(a.lse[i], b.lse[j])) differs = "lse";
  if (a.status[i] != b.status[j]) differs = "row_status";
  for (std::int64_t k = 0; k < std::min(a.c.columns, b.c.columns); ++k)
    if (!same_bits(a.gradients().get(std::int64_t(i), k), b.gradients().get(std::int64_t(j), k)))
      differs = "grad_logits";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_results(const ClassCall& a, const ClassCall& b) {
  for (std::size_t i = 0; i < a.c.rows(); ++i)
    if (auto same = same_row(a, i, b, i); !same) return same;
  if (std::memcmp(&a.loss, &b.loss, sizeof a.loss) != 0 ||
      std::memcmp(&a.z_loss, &b.z_loss, sizeof a.z_loss) != 0)
    return ::testing::AssertionFailure() << "loss is " << a.loss << " and " << b.loss;
  return ::testing::AssertionSuccess();
}

// Each option alone, and all of them.
inline std::vector<Classes> class_choices(std::int64_t rows, std::int64_t columns,
                                          std::uint32_t seed, DType dtype) {
  std::vector<Classes> all(9, class_batch(rows, columns, seed, dtype));
  all[1].reduction = Reduction::sum;
  all[2].reduction = Reduction::none;
  for (std::int64_t i = 0; i < rows; ++i)
    all[2].grad_loss.push_back(0.5f - 0.25f * static_cast<float>(i));
  all[3].lse_square_scale = 0.01f;
  all[4].weights = class_weights(columns);
  all[5].label_smoothing = 0.2f;
  all[6].softcap = 4;
  all[7].weights = all[4].weights;
  all[7].label_smoothing = 1;
  all[8].weights = all[4].weights;
  all[8].grad_loss = all[2].grad_loss;
  all[8].label_smoothing = 0.1f;
  all[8].lse_square_scale = 0.003f;
  all[8].softcap = 5;
  all[8].normalizer = 7;
  all[8].grad_scale = -0.5;
  return all;
}

}  // namespace logsum::test
