// SPDX-License-Identifier: Apache-2.0
#include "logsum/softmax_backward.hpp"

#include <gtest/gtest.h>

#include "logsum/softmax.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

namespace logsum::test {
namespace {

const Context kReference{.backend = Backend::reference};

using Values = std::vector<std::vector<float>>;

struct Form {
  const char* name;
  Status (*forward)(const SoftmaxArgs&, const Context&) noexcept;
  Status (*backward)(const SoftmaxBackwardArgs&, const Context&) noexcept;
  bool is_log;
};
const Form kForms[] = {{"softmax", &on::softmax, &on::softmax_backward, false},
                       {"log_softmax", &on::log_softmax, &on::log_softmax_backward, true}};

void expect_ok(const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

std::int64_t rows_of(const Values& values) { return static_cast<std::int64_t>(values.size()); }
std::int64_t columns_of(const Values& values) {
  return static_cast<std::int64_t>(values[0].size());
}

Values forward(const Form& form, const Values& logits, const PerRow<float>& t) {
  Rows z(contiguous_layout(), rows_of(logits), columns_of(logits), DType::f32);
  z.set_all(logits);
  expect_ok(
      form.forward({.logits = z.tensor(), .output = z.tensor(), .temperature = t}, kReference));
  Values output;
  for (std::int64_t i = 0; i < z.rows(); ++i) output.push_back(z.row(i));
  return output;
}

Values gradients(std::int64_t rows, std::int64_t columns, std::uint32_t seed) {
  Values g;
  for (std::int64_t i = 0; i < rows; ++i)
    g.push_back(gaussian(columns, seed + static_cast<std::uint32_t>(i), 1, 0));
  return g;
}

Rows in_layout(const Layout& layout, const Values& values, DType dtype) {
  Rows rows(layout, rows_of(values), columns_of(values), dtype);
  rows.set_all(values);
  return rows;
}

struct DTypes {
  DType g = DType::f32, output = DType::f32, grad = DType::f32;
};

Rows backward(const Form& form, const Values& g, const Values& output, const DTypes& dtypes = {},
              const Context& context = {}, const PerRow<float>& t = 1.0f,
              const Layout& layout = contiguous_layout()) {
  Rows g_rows = in_layout(layout, g, dtypes.g),
       output_rows = in_layout(layout, output, dtypes.output);
  Rows grad(layout, rows_of(g), columns_of(g), dtypes.grad);
  expect_ok(form.backward({.grad_output = g_rows.tensor(),
                           .output = output_rows.tensor(),
                           .grad_logits = grad.tensor(),
                           .temperature = t,
                           .dim = layout.dim},
                          context));
  EXPECT_TRUE(grad.canaries_live()) << form.name << ", " << layout.name;
  return grad;
}

Values rounded(Values values, DType dtype) {
  for (auto& row : values)
    for (float& x : row) x = rounded_to(x, dtype);
  return values;
}

// The truth of a row in long double, and what the contract allows around it.
struct Truth {
  long double sum = 0;
  std::vector<long double> value, slack;

  Truth(const Form& form, const std::vector<float>& g, const std::vector<float>& output, float t) {
    long double magnitude = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      if (!lives(form, output[i])) continue;
      const long double term = form.is_log ? g[i] : static_cast<long double>(g[i]) * output[i];
      sum += term + 0 * output[i];
      magnitude += std::fabs(term);
    }
    const long double of_sum = 0x1p-46L * magnitude;
    for (std::size_t i = 0; i < g.size(); ++i) {
      const long double y = output[i], gi = g[i];
      long double v = 0, error = 0;
      if (!lives(form, output[i])) {
        // 0, exactly
      } else if (!form.is_log) {
        v = y * (gi - sum);
        error = 4e-6L * std::fabs(v) + y * of_sum;
      } else if (y > -0.69314718L) {
        v = (gi - sum) - std::expm1(y) * sum;
        error = 4e-6L * std::max(std::fabs(gi - sum), std::fabs(std::expm1(y) * sum)) + of_sum;
      } else {
        v = gi - std::exp(y) * sum;
        error = 4e-6L * std::max(std::fabs(gi), std::fabs(std::exp(y) * sum)) + of_sum;
      }
      value.push_back(v / t);
      slack.push_back(error > 0 ? error / t + 0x1p-149L : 0);
    }
  }

  static bool lives(const Form& form, float y) { return form.is_log ? y != -kInf : y != 0; }

  bool allows(float got, std::size_t i, DType dtype) const {
    if (!std::isfinite(sum)) return same_bits(got, rounded_to(kNaN, dtype));
    return got >= rounded_to(static_cast<float>(value[i] - slack[i]), dtype) &&
           got <= rounded_to(static_cast<float>(value[i] + slack[i]), dtype);
  }
};

void expect_truth(const Form& form, const Rows& got, const Values& g, const Values& output,
                  float t) {
  for (std::size_t row = 0; row < g.size(); ++row) {
    const Truth truth(form, g[row], output[row], t);
    for (std::size_t i = 0; i < g[row].size(); ++i)
      ASSERT_TRUE(truth.allows(got.get(std::int64_t(row), std::int64_t(i)), i, got.dtype()))
          << "row " << row << " column " << i << ": " << got.get(std::int64_t(row), std::int64_t(i))
          << " for " << static_cast<double>(truth.value[i]);
  }
}

TEST(SoftmaxBackward, MatchesTruthOnEveryRowWidthDtypeAndTarget) {
  for (const Form& form : kForms)
    for (const std::int64_t columns : widths()) {
      const Values wide = gradients(20, columns, 3);
      for (const DType dtype : logits_dtypes()) {
        const float t = dtype == DType::f32 ? 0.6f : 1.0f;
        SCOPED_TRACE(std::string(form.name) + " " + to_string(dtype) +
                     " V=" + std::to_string(columns));
        const Values output = rounded(forward(form, healthy_values(columns, dtype), t), dtype);
        const Values g = rounded(wide, dtype);
        const DTypes dtypes{dtype, dtype, dtype};
        const Rows first = backward(form, g, output, dtypes, fast_contexts()[0], t);
        expect_truth(form, first, g, output, t);
        if (dtype == DType::f32)
          expect_truth(form, backward(form, g, output, dtypes, kReference, t), g, output, t);
        for (const Context& context : contract_contexts()) {
          const Rows got = backward(form, g, output, dtypes, context, t);
          if (has_cpu_bits(context))
            ASSERT_TRUE(got.same_bits_as(first)) << name_of(context);
          else
            expect_truth(form, got, g, output, t);
        }
        if (HasFailure()) return;
      }
    }
}

TEST(SoftmaxBackward, DtypesMix) {
  for (const Form& form : kForms) {
    // Values that all dtypes hold, so that only the result's rounding differs.
    const Values g = rounded(rounded(gradients(20, 5000, 9), DType::bf16), DType::f16);
    const Values output = rounded(
        rounded(forward(form, healthy_values(5000, DType::f32), 1.0f), DType::bf16), DType::f16);
    const Rows first = backward(form, g, output);
    for (const DType a : logits_dtypes())
      for (const DType b : logits_dtypes())
        for (const DType c : logits_dtypes()) {
          const Rows got = backward(form, g, output, {a, b, c});
          for (std::int64_t row = 0; row < 20; ++row)
            for (std::int64_t i = 0; i < 5000; ++i)
              ASSERT_TRUE(same_bits(got.get(row, i), rounded_to(first.get(row, i), c)))
                  << to_string(a) << to_string(b) << to_string(c);
        }
  }
}

// The reference against central differences of the forward, in long double.
TEST(SoftmaxBackward, ReferenceIsTheDerivative) {
  for (const Form& form : kForms)
    for (const float t : {1.0f, 0.7f, 3.0f}) {
      const Values z = {gaussian(12, 1, 2, 0), gaussian(12, 2, 2, 0)};
      const Values g = gradients(2, 12, 5);
      const Rows grad = backward(form, g, forward(form, z, t), {}, kReference, t);
      for (std::size_t row = 0; row < 2; ++row) {
        const auto loss = [&](const std::vector<long double>& logits) {
          long double sum = 0, value = 0;
          for (const long double x : logits) sum += std::exp(x / t);
          for (std::size_t i = 0; i < logits.size(); ++i) {
            const long double y = logits[i] / t - std::log(sum);
            value += g[row][i] * (form.is_log ? y : std::exp(y));
          }
          return value;
        };
        for (std::size_t i = 0; i < 12; ++i) {
          std::vector<long double> up(z[row].begin(), z[row].end()), down = up;
          const long double h = 1e-5L;
          up[i] += h;
          down[i] -= h;
          const auto difference = static_cast<double>((loss(up) - loss(down)) / (2 * h));
          EXPECT_NEAR(grad.get(std::int64_t(row), std::int64_t(i)), difference, 1e-6)
              << form.name << " T=" << t;
        }
      }
    }
}

TEST(SoftmaxBackward, LayoutsAndInPlaceGiveTheSameBits) {
  for (const Form& form : kForms)
    for (const DTypes& dtypes : {DTypes{}, DTypes{DType::bf16, DType::f32, DType::bf16}})
      for (const std::int64_t columns : {1, 33, 1025, 9001}) {
        const Values g = gradients(20, columns, 4);
        std::vector<float> t;
        for (int i = 0; i < 20; ++i) t.push_back(0.5f + 0.125f * static_cast<float>(i));
        const Values output =
            forward(form, healthy_values(columns, DType::f32), Tensor::of(t.data(), {20}));
        const Rows first = backward(form, g, output, dtypes, {}, Tensor::of(t.data(), {20}));
        for (const Layout& layout : layouts()) {
          SCOPED_TRACE(std::string(form.name) + " " + layout.name +
                       " V=" + std::to_string(columns));
          Rows in_place = in_layout(layout, g, dtypes.g);
          Rows output_rows = in_layout(contiguous_layout(), output, dtypes.output);
          const PerRow<float> temperature = in_place.per_row(t);
          ASSERT_TRUE(
              backward(form, g, output, dtypes, {}, temperature, layout).same_bits_as(first));
          output_rows = in_layout(layout, output, dtypes.output);
          expect_ok(form.backward({.grad_output = in_place.tensor(),
                                   .output = output_rows.tensor(),
                                   .grad_logits = in_place.tensor(),
                                   .temperature = temperature,
                                   .dim = layout.dim},
                                  {}));
          ASSERT_TRUE(in_place.same_bits_as(first)) << "in place";
          ASSERT_TRUE(in_place.canaries_live());
        }
      }
}

TEST(SoftmaxBackward, ATemperaturePerRowIsThatRowsTemperature) {
  const Values g = gradients(20, 3000, 4);
  std::vector<float> t = gaussian(20, 1, 0.2f, 1);
  for (const Form& form : kForms) {
    const Values output = forward(form, healthy_values(3000, DType::f32), 1.0f);
    const Rows all = backward(form, g, output, {}, {}, Tensor::of(t.data(), {20}));
    for (std::size_t row = 0; row < g.size(); ++row)
      EXPECT_EQ(backward(form, {g[row]}, {output[row]}, {}, {}, t[row]).row(0),
                all.row(std::int64_t(row)));
  }
}

TEST(SoftmaxBackward, BitsDependOnNeitherThreadsNorBatchNorSlot) {
  const std::int64_t columns = 50257;
  const Values g = gradients(20, columns, 4);
  BackwardsExecutor seven(7), many(300);
  for (const Form& form : kForms) {
    const Values output = forward(form, healthy_values(columns, DType::f32), 1.0f);
    const Rows first = backward(form, g, output, {}, {.executor = &inline_executor()});
    for (Executor* executor :
         {&default_executor(), static_cast<Executor*>(&seven), static_cast<Executor*>(&many)})
      for (const Layout& layout : {contiguous_layout(), layouts()[1]})
        EXPECT_TRUE(backward(form, g, output, {}, {.executor = executor}, 1.0f, layout)
                        .same_bits_as(first));
    for (std::size_t slot = 0; slot < g.size(); ++slot) {
      const Rows alone = backward(form, {g[slot]}, {output[slot]}, {}, {.executor = &seven});
      for (std::int64_t i = 0; i < columns; ++i)
        ASSERT_TRUE(same_bits(alone.get(0, i), first.get(std::int64_t(slot), i)));
    }
  }
}

// One-hot gradients as cross-entropy has them, while p of the target goes to 1: −(1 − p) must not
// be 1 − 0.9999…
TEST(SoftmaxBackward, KeepsOneMinusPAsPGoesToOne) {
  const std::int64_t columns = 5000;
  for (float gap = 0; gap < 60; gap += 1.5f) {
    std::vector<float> z(static_cast<std::size_t>(columns), 0.0f), g(z.size(), 0.0f);
    z[7] = gap;
    g[7] = -1;
    for (const Form& form : kForms) {
      const Values output = forward(form, {z}, 1.0f);
      for (const Context& context : contract_contexts())
        expect_truth(form, backward(form, {g}, output, {}, context), {g}, output, 1);
    }
    // And of the logits themselves, not only of the log-probs: relative, but for log p's own
    // rounding.
    if (gap > 26) continue;  // from here on log p itself is only right to 5e-7
    const Rows grad = backward(kForms[1], {g}, forward(kForms[1], {z}, 1.0f));
    const double others = static_cast<double>(columns - 1) * std::exp(-static_cast<double>(gap));
    const double rest = others / (1 + others);
    EXPECT_NEAR(grad.get(0, 7) / rest, -1.0, 1e-5) << gap;
  }
}

// A gradient that is nearly constant: g − Σgp cancels to its rounding.
TEST(SoftmaxBackward, NearlyConstantGradientsCancelRight) {
  const Values output = forward(kForms[0], healthy_values(9000, DType::f32), 1.0f);
  Values g = gradients(20, 9000, 8);
  for (auto& row : g)
    for (float& x : row) x = 1000.0f + 1e-3f * x;
  for (const Context& context : contract_contexts())
    expect_truth(kForms[0], backward(kForms[0], g, output, {}, context), g, output, 1);
}

// Columns of probability 0 don't count, whatever their gradient holds; live NaNs poison their row.
TEST(SoftmaxBackward, MaskedColumnsAreNotLookedAt) {
  const std::int64_t columns = 5000;
  for (const Form& form : kForms)
    for (const Context& context : contract_contexts()) {
      std::vector<float> z = gaussian(columns, 1, 2, 0), g = gaussian(columns, 2, 1, 0);
      for (std::size_t i = 0; i < z.size(); i += 3) z[i] = -kInf;
      const Values output = forward(form, {z, z, z}, 1.0f);
      std::vector<float> clean = g, dirty = g, poisoned = g;
      for (std::size_t i = 0; i < z.size(); i += 3) {
        clean[i] = 0;
        dirty[i] = i % 2 ? kNaN : kInf;
      }
      poisoned[1] = kNaN;
      for (const Context& backend : {context, kReference}) {
        const Rows grad = backward(form, {clean, dirty, poisoned}, output, {}, backend);
        for (std::int64_t i = 0; i < columns; ++i) {
          ASSERT_TRUE(same_bits(grad.get(0, i), grad.get(1, i))) << form.name;
          ASSERT_TRUE(std::isnan(grad.get(2, i))) << form.name;
          if (i % 3 == 0) {
            ASSERT_EQ(grad.get(1, i), 0);
          }
        }
      }
    }
}

TEST(SoftmaxBackward, SickRowsFollowTheForwardsStatus) {
  for (const Form& form : kForms)
    for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[5]}) {
      const std::int64_t columns = 1500;
      const std::vector<float> healthy = gaussian(columns, 3, 2, 0);
      Values z;
      for (const SickRow& sick : sick_rows()) {
        z.push_back(healthy);
        sick.infect(z.back());
        z.push_back(healthy);
      }
      const auto rows = rows_of(z);
      std::vector<float> t(z.size(), 1.0f);
      t[1] = 0;  // out of range
      std::vector<std::int32_t> status(z.size());
      Rows output = in_layout(layout, z, DType::f32);
      expect_ok(form.forward({.logits = output.tensor(),
                              .output = output.tensor(),
                              .row_status = output.per_row(status),
                              .temperature = output.per_row(t),
                              .dim = layout.dim},
                             {}));
      const Values g(z.size(), gaussian(columns, 7, 1, 0));
      const Rows alone = backward(form, {g[0]}, forward(form, {healthy}, 1.0f));
      for (const Context& context : contract_contexts())
        for (const bool with_status : {true, false})
          for (const Context& backend : {context, kReference}) {
            Rows grad = in_layout(layout, g, DType::f32);
            expect_ok(form.backward({.grad_output = grad.tensor(),
                                     .output = output.tensor(),
                                     .grad_logits = grad.tensor(),
                                     .row_status = with_status ? output.per_row(status) : Tensor(),
                                     .temperature = output.per_row(t),
                                     .dim = layout.dim},
                                    backend));
            for (std::int64_t row = 0; row < rows; ++row)
              for (std::int64_t i = 0; i < columns; ++i) {
                const float got = grad.get(row, i);
                if (row == 0 && with_status) {
                  ASSERT_EQ(got, 0) << "empty";
                } else if (row % 2 == 0 || row == 1) {
                  ASSERT_TRUE(same_bits(got, kNaN)) << row;
                } else {
                  ASSERT_NEAR(got, alone.get(0, i), 1e-6f) << row;
                }
              }
          }
    }
}

TEST(SoftmaxBackward, RefusesWhatItCantDo) {
  std::vector<float> a(40), b(40), c(40);
  std::vector<std::int32_t> integers(40);
  std::vector<std::int64_t> wide(40);
  const Tensor g = Tensor::of(a.data(), {4, 5}), y = Tensor::of(b.data(), {4, 5}),
               grad = Tensor::of(c.data(), {4, 5});
  const auto message = [](const SoftmaxBackwardArgs& args, const Context& context = {}) {
    const Status s = on::softmax_backward(args, context);
    EXPECT_NE(s.code(), StatusCode::ok);
    EXPECT_EQ(std::string(s.message()).substr(0, 18), "softmax_backward: ");
    return std::string(s.message()).substr(18);
  };
  EXPECT_EQ(message({.output = y, .grad_logits = grad}), "grad_output is missing");
  EXPECT_EQ(message({.grad_output = g, .grad_logits = grad}), "output is missing");
  EXPECT_EQ(message({.grad_output = g, .output = y}), "grad_logits is missing");
  EXPECT_EQ(
      message({.grad_output = g, .output = Tensor::of(b.data(), {5, 4}), .grad_logits = grad}),
      "output has shape [5, 4], must be [4, 5] (grad_output is [4, 5])");
  EXPECT_EQ(
      message({.grad_output = g, .output = Tensor::of(wide.data(), {4, 5}), .grad_logits = grad}),
      "output has dtype i64, must be f32 or f16 or bf16");
  EXPECT_EQ(message({.grad_output = g, .output = y, .grad_logits = y}),
            "output grad_logits overlaps input output in memory");
  Tensor shifted = g;
  shifted.data = a.data() + 5;
  EXPECT_EQ(message({.grad_output = g, .output = y, .grad_logits = shifted}),
            "output grad_logits overlaps input grad_output in memory");
  EXPECT_EQ(message({.grad_output = g,
                     .output = y,
                     .grad_logits = grad,
                     .row_status = Tensor::of(integers.data(), {5})}),
            "row_status has shape [5], must be [4] (grad_output without dim -1 is [4])");
  EXPECT_EQ(message({.grad_output = g, .output = y, .grad_logits = grad, .temperature = kNaN}),
            "temperature is nan, must be in [2^-64, 2^64]");
  EXPECT_EQ(message({.grad_output = g, .output = y, .grad_logits = grad, .dim = 2}),
            "dim is 2, must be in [-2, 1] (grad_output has shape [4, 5])");
  const SoftmaxBackwardArgs valid{.grad_output = g, .output = y, .grad_logits = grad};
  const std::string needed = std::to_string(on::softmax_backward_workspace_size(valid));
  std::uint64_t memory = 0;
  EXPECT_EQ(message(valid, {.workspace = {&memory, 8}}), "workspace has 8 bytes, needs " + needed);
}

TEST(SoftmaxBackward, UsesTheWorkspaceItAsksFor) {
  const Values g = gradients(20, 9000, 4);
  for (const Form& form : kForms)
    for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[4]}) {
      const Values output = forward(form, healthy_values(9000, DType::f32), 1.0f);
      Rows grad = in_layout(layout, g, DType::f32), y = in_layout(layout, output, DType::f32);
      const SoftmaxBackwardArgs args{.grad_output = grad.tensor(),
                                     .output = y.tensor(),
                                     .grad_logits = grad.tensor(),
                                     .dim = layout.dim};
      const std::size_t size = on::softmax_backward_workspace_size(args);
      std::vector<std::uint64_t> memory(size / 8 + 2, 0x1234567890abcdef);
      BackwardsExecutor executor(9);
      expect_ok(form.backward(args, {.workspace = {memory.data(), size}, .executor = &executor}));
      EXPECT_EQ(memory.back(), 0x1234567890abcdef);
      EXPECT_TRUE(grad.same_bits_as(backward(form, g, output)));
    }
}

}  // namespace
}  // namespace logsum::test
