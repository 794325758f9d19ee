// SPDX-License-Identifier: Apache-2.0
#include "logsum/logsumexp.hpp"

#include <gtest/gtest.h>

#include "logsum/token_logprobs.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

namespace logsum::test {
namespace {

const Context kReference{.backend = Backend::reference};

using Values = std::vector<std::vector<float>>;

void expect_ok(const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(same_bits(a[i], b[i])) << "row " << i << ": " << a[i] << ", " << b[i];
}

Rows in_layout(const Layout& layout, const Values& values, DType dtype) {
  Rows rows(layout, static_cast<std::int64_t>(values.size()),
            static_cast<std::int64_t>(values[0].size()), dtype);
  rows.set_all(values);
  return rows;
}

struct Lse {
  std::vector<float> value;
  std::vector<std::int32_t> status;
};

Lse lse_of(Rows& z, const Context& context = {}, const PerRow<float>& temperature = 1.0f) {
  Lse lse{std::vector<float>(static_cast<std::size_t>(z.rows()), 99),
          std::vector<std::int32_t>(static_cast<std::size_t>(z.rows()), 99)};
  expect_ok(on::logsumexp({.logits = z.tensor(),
                           .lse = z.per_row(lse.value),
                           .row_status = z.per_row(lse.status),
                           .temperature = temperature,
                           .dim = z.dim()},
                          context));
  return lse;
}

// The rows in `grad`, whose layout z must share.
void differentiate(Rows& z, Rows& grad, std::vector<float> g, std::vector<float> lse,
                   const Context& context = {}, const PerRow<float>& temperature = 1.0f) {
  expect_ok(on::logsumexp_backward({.grad_output = z.per_row(g),
                                    .lse = z.per_row(lse),
                                    .logits = z.tensor(),
                                    .grad_logits = grad.tensor(),
                                    .temperature = temperature,
                                    .dim = z.dim()},
                                   context));
  EXPECT_TRUE(grad.canaries_live());
}

std::vector<float> some_gradients() {
  std::vector<float> g = gaussian(20, 5, 1, 0);
  g[3] = 0;
  g[4] = 1e-30f;
  g[5] = -1e30f;
  g[6] = 1;
  return g;
}

TEST(Logsumexp, IsTokenLogprobsLseBitForBitInEveryLayout) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {1, 2, 255, 4096, 4097, 50257}) {
      const Values values = healthy_values(columns, dtype);
      std::vector<float> t = gaussian(20, 1, 0.2f, 1), scored(20);
      Rows z = in_layout(contiguous_layout(), values, dtype);
      const PerRow<float> temperature = Tensor::of(t.data(), {20});
      expect_ok(on::token_logprobs({.logits = z.tensor(),
                                    .lse = Tensor::of(scored.data(), {20}),
                                    .temperature = temperature}));
      for (const Context& context : fast_contexts())
        expect_same_bits(lse_of(z, context, temperature).value, scored);
      if (columns > 9000) continue;
      for (const Layout& layout : layouts()) {
        SCOPED_TRACE(layout.name);
        Rows laid_out = in_layout(layout, values, dtype);
        expect_same_bits(lse_of(laid_out, {}, laid_out.per_row(t)).value, scored);
        EXPECT_TRUE(laid_out.same_bits_as(z)) << "an input was written";
      }
    }
}

TEST(Logsumexp, MatchesReferenceOnEveryWidth) {
  for (const std::int64_t columns : widths())
    for (const float t : {1.0f, 0.6f}) {
      Rows z = in_layout(contiguous_layout(), healthy_values(columns, DType::f32), DType::f32);
      const Lse truth = lse_of(z, kReference, t);
      for (const Context& context : contract_contexts()) {
        SCOPED_TRACE(name_of(context));
        const Lse got = lse_of(z, context, t);
        EXPECT_EQ(got.status, truth.status);
        for (std::size_t i = 0; i < 20; ++i)
          EXPECT_TRUE(within_contract(got.value[i], truth.value[i])) << healthy_rows()[i].name;
      }
    }
}

TEST(Logsumexp, BitsDependOnNeitherThreadsNorDim) {
  BackwardsExecutor seven(7), many(300);
  const Values values = healthy_values(50257, DType::bf16);
  Rows z = in_layout(contiguous_layout(), values, DType::bf16);
  const std::vector<float> lse = lse_of(z, {.executor = &inline_executor()}).value;
  Rows grad = z;
  differentiate(z, grad, some_gradients(), lse, {.executor = &inline_executor()});
  for (Executor* executor :
       {&default_executor(), static_cast<Executor*>(&seven), static_cast<Executor*>(&many)})
    for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[4]}) {
      Rows laid_out = in_layout(layout, values, DType::bf16);
      expect_same_bits(lse_of(laid_out, {.executor = executor}).value, lse);
      differentiate(laid_out, laid_out, some_gradients(), lse, {.executor = executor});
      EXPECT_TRUE(laid_out.same_bits_as(grad)) << layout.name;
    }
}

TEST(Logsumexp, BitsDependOnNoSchedule) {
  if (!on::is_cuda()) GTEST_SKIP() << "schedules are a GPU's";
  for (const std::int64_t columns : {33, 9001, 50257}) {
    const Values values = healthy_values(columns, DType::f16);
    Rows z = in_layout(contiguous_layout(), values, DType::f16);
    const std::vector<float> lse = lse_of(z, fast_contexts()[0]).value;
    Context context{.backend = Backend::cuda, .determinism = Determinism::cross_device};
    for (const Schedule schedule : {Schedule::spans, Schedule::clusters}) {
      context.schedule = schedule;
      expect_same_bits(lse_of(z, context).value, lse);
    }
    context.schedule = Schedule::spans;
    Rows across = in_layout(layouts()[1], values, DType::f16);
    expect_same_bits(lse_of(across, context).value, lse);
    std::vector<float> out(20);
    for (const Schedule schedule : {Schedule::clusters, Schedule::rings}) {
      context.schedule = schedule;
      EXPECT_EQ(
          on::logsumexp(
              {.logits = across.tensor(), .lse = across.per_row(out), .dim = across.dim()}, context)
              .code(),
          StatusCode::unsupported);
    }
  }
}

void expect_truth(const Rows& got, const Rows& reference, const Values& values,
                  const std::vector<float>& g, const std::vector<float>& lse, float t) {
  for (std::size_t row = 0; row < values.size(); ++row)
    for (std::int64_t i = 0; i < got.columns(); ++i) {
      const float x = got.get(std::int64_t(row), i), z = values[row][std::size_t(i)];
      if (lse[row] == -kInf) {  // a row of −∞, in f16
        ASSERT_EQ(x, 0);
        continue;
      }
      if (!std::isfinite(lse[row])) {  // of +∞ in f16, or beyond f32
        ASSERT_TRUE(same_bits(x, rounded_to(kNaN, got.dtype())));
        continue;
      }
      const auto wanted =
          static_cast<double>(g[row] * std::exp(static_cast<long double>(z) / t - lse[row]) / t);
      ASSERT_TRUE(is_rounded_probability(x, wanted, got.dtype()))
          << "row " << row << ": " << x << " for " << wanted;
      ASSERT_TRUE(is_rounded_probability(reference.get(std::int64_t(row), i), wanted, got.dtype()));
      if (z == -kInf) {
        ASSERT_EQ(x, 0);
      }
    }
}

TEST(LogsumexpBackward, MatchesTruthOnEveryRowWidthDtypeAndTarget) {
  const std::vector<float> g = some_gradients();
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : widths()) {
      const float t = dtype == DType::f16 ? 1.0f : 0.6f;
      const Values values = healthy_values(columns, dtype);
      Rows z = in_layout(contiguous_layout(), values, dtype);
      const std::vector<float> lse = lse_of(z, kReference, t).value;
      for (const DType out : {DType::f32, dtype}) {
        Rows first(contiguous_layout(), 20, columns, out), truth = first;
        differentiate(z, first, g, lse, fast_contexts()[0], t);
        differentiate(z, truth, g, lse, kReference, t);
        SCOPED_TRACE(std::string(to_string(dtype)) + " V=" + std::to_string(columns));
        expect_truth(first, truth, values, g, lse, t);
        for (const Context& context : contract_contexts()) {
          Rows again(contiguous_layout(), 20, columns, out);
          differentiate(z, again, g, lse, context, t);
          if (has_cpu_bits(context))
            ASSERT_TRUE(again.same_bits_as(first)) << name_of(context);
          else
            expect_truth(again, truth, values, g, lse, t);
        }
        if (HasFatalFailure()) return;
        if (out == DType::f32 && dtype == DType::f32) break;
      }
    }
}

TEST(LogsumexpBackward, LayoutsAndInPlaceGiveTheSameBits) {
  const std::vector<float> g = some_gradients();
  std::vector<float> t = gaussian(20, 1, 0.2f, 1);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t columns : {1, 33, 1025, 9000, 9001}) {  // 9000: in vectors on a GPU
      const Values values = healthy_values(columns, dtype);
      Rows z = in_layout(contiguous_layout(), values, dtype);
      const PerRow<float> temperature = Tensor::of(t.data(), {20});
      const std::vector<float> lse = lse_of(z, {}, temperature).value;
      Rows first = z;
      differentiate(z, first, g, lse, {}, temperature);
      for (const Layout& layout : layouts()) {
        Rows laid_out = in_layout(layout, values, dtype), grad(layout, 20, columns, dtype);
        differentiate(laid_out, grad, g, lse, {}, laid_out.per_row(t));
        EXPECT_TRUE(grad.same_bits_as(first)) << layout.name;
        differentiate(laid_out, laid_out, g, lse, {}, laid_out.per_row(t));
        EXPECT_TRUE(laid_out.same_bits_as(first)) << layout.name << ", in place";
      }
    }
}

TEST(LogsumexpBackward, ATemperaturePerRowIsThatRowsTemperature) {
  const Values values = healthy_values(3000, DType::f32);
  std::vector<float> t = gaussian(20, 1, 0.2f, 1), g = some_gradients();
  Rows z = in_layout(contiguous_layout(), values, DType::f32), all = z;
  const std::vector<float> lse = lse_of(z, {}, Tensor::of(t.data(), {20})).value;
  differentiate(z, all, g, lse, {}, Tensor::of(t.data(), {20}));
  for (std::size_t row = 0; row < values.size(); ++row) {
    Rows one = in_layout(contiguous_layout(), {values[row]}, DType::f32);
    EXPECT_TRUE(same_bits(lse_of(one, {}, t[row]).value[0], lse[row]));
    differentiate(one, one, {g[row]}, {lse[row]}, {}, t[row]);
    EXPECT_EQ(one.row(0), all.row(std::int64_t(row)));
  }
}

TEST(LogsumexpBackward, ReferenceIsTheDerivative) {
  for (const float t : {1.0f, 0.7f, 3.0f}) {
    const std::vector<float> z = gaussian(12, 1, 2, 0);
    Rows rows = in_layout(contiguous_layout(), {z}, DType::f32), grad = rows;
    differentiate(rows, grad, {2.5f}, lse_of(rows, kReference, t).value, kReference, t);
    const auto loss = [&](const std::vector<long double>& logits) {
      long double sum = 0;
      for (const long double x : logits) sum += std::exp(x / t);
      return 2.5L * std::log(sum);
    };
    for (std::size_t i = 0; i < z.size(); ++i) {
      std::vector<long double> up(z.begin(), z.end()), down = up;
      up[i] += 1e-5L;
      down[i] -= 1e-5L;
      EXPECT_NEAR(grad.get(0, std::int64_t(i)), double((loss(up) - loss(down)) / 2e-5L), 2e-6);
    }
  }
}

// An lse that isn't the row's: e^(z/T − lse) as written, up to +∞; and far from 0.
TEST(LogsumexpBackward, AnyFiniteLseIsTakenAsWritten) {
  const float ts[] = {0x1p-64f, 1e-6f, 0.7f, 1.0f, 1e6f, 0x1p64f};
  std::vector<float> z = gaussian(2000, 1, 1, 0);
  z[5] = -kInf;
  for (const float scale : {1e-8f, 1.0f, 40.0f, 1e7f, 3e37f})
    for (const float t : ts)
      for (const float shift : {-200.0f, -60.0f, -17.0f, 0.0f, 50.0f, 180.0f})
        for (const float g : {1.0f, -3e-20f, 2e20f, 0.0f}) {
          std::vector<float> row = z;
          for (float& x : row) x *= scale;
          const float middle = row[7] / t;
          if (std::isinf(middle)) continue;
          const float lse = middle + shift;
          Rows rows = in_layout(contiguous_layout(), {row}, DType::f32);
          Rows first = rows, reference = rows;
          differentiate(rows, first, {g}, {lse}, fast_contexts()[0], t);
          differentiate(rows, reference, {g}, {lse}, kReference, t);
          const auto expect_reference = [&](const Rows& got) {
            for (std::int64_t i = 0; i < 2000; ++i) {
              // f64 holds z/T − lse to 2^-52 of z/T only.
              const double x = static_cast<double>(row[std::size_t(i)]) / t;
              if (std::fabs(x) > 1e9 &&
                  std::fabs(x - static_cast<double>(lse)) < 1e-6 * std::fabs(x))
                continue;
              const float wanted = reference.get(0, i);
              ASSERT_TRUE(is_rounded_probability(got.get(0, i), wanted, DType::f32) ||
                          std::fabs(wanted) > 3.4e38f)
                  << "z=" << row[std::size_t(i)] << " T=" << t << " lse=" << lse << " g=" << g
                  << ": " << got.get(0, i) << " for " << wanted;
            }
          };
          expect_reference(first);
          for (const Context& context : contract_contexts()) {
            Rows again = rows;
            differentiate(rows, again, {g}, {lse}, context, t);
            if (has_cpu_bits(context))
              ASSERT_TRUE(again.same_bits_as(first));
            else
              expect_reference(again);
          }
          if (HasFatalFailure()) return;
        }
}

TEST(Logsumexp, SickRowsHarmNoOther) {
  for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[5]})
    for (const DType dtype : logits_dtypes()) {
      const std::int64_t columns = 5000;
      const std::vector<float> healthy = gaussian(columns, 3, 2, 0);
      Values values;
      for (const SickRow& sick : sick_rows()) {
        values.push_back(healthy);
        sick.infect(values.back());
        values.push_back(healthy);
      }
      std::vector<float> t(values.size(), 1.0f), g(values.size(), 1.0f);
      t[1] = kInf;
      g[3] = kNaN;
      g[5] = -kInf;
      Rows z = in_layout(layout, values, dtype);
      Rows one = in_layout(contiguous_layout(), {healthy}, dtype), one_grad = one;
      const Lse truth = lse_of(z, kReference, z.per_row(t));
      for (const Context& context : contract_contexts()) {
        const Lse alone = lse_of(one, context);
        differentiate(one, one_grad, {1.0f}, alone.value, context);
        const Lse got = lse_of(z, context, z.per_row(t));
        EXPECT_EQ(got.status, truth.status);
        EXPECT_EQ(got.status[0], static_cast<int>(RowStatus::empty));
        EXPECT_EQ(got.status[1], static_cast<int>(RowStatus::bad_parameter));
        EXPECT_EQ(got.value[0], -kInf);
        for (std::size_t row = 1; row < values.size(); ++row)
          EXPECT_TRUE(same_bits(got.value[row], row % 2 == 0 || row == 1 ? kNaN : alone.value[0]))
              << row;
        for (const Context& backend : {context, kReference}) {
          Rows grad(layout, z.rows(), columns, dtype);
          differentiate(z, grad, g, got.value, backend, z.per_row(t));
          for (std::int64_t row = 0; row < z.rows(); ++row)
            for (std::int64_t i = 0; i < columns; ++i) {
              const float x = grad.get(row, i);
              const bool is_nan = row == 1 || row == 3 || row == 5 || (row > 0 && row % 2 == 0);
              if (is_nan || row == 0) {
                ASSERT_TRUE(same_bits(x, row == 0 ? 0.0f : rounded_to(kNaN, dtype))) << row;
              } else if (backend.backend != Backend::reference) {
                ASSERT_TRUE(same_bits(x, one_grad.get(0, i))) << row;
              }
            }
        }
      }
    }
}

// Such a column decides for its tile how the others are computed, wherever in it it lies.
TEST(LogsumexpBackward, AColumnFarAboveTheLseHarmsNoOther) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {4096, 9000, 9001})
      for (const std::int64_t at : {std::int64_t{0}, std::int64_t{1500}, columns - 1}) {
        std::vector<float> values = gaussian(columns, 1, 2, 0);
        values[std::size_t(at)] = 90;
        for (float& x : values) x = rounded_to(x, dtype);
        Rows z = in_layout(contiguous_layout(), {values}, dtype);
        Rows first(contiguous_layout(), 1, columns, DType::f32), truth = first;
        differentiate(z, first, {1}, {4}, fast_contexts()[0]);
        differentiate(z, truth, {1}, {4}, kReference);
        Rows stored = z;
        differentiate(z, stored, {1}, {4}, fast_contexts()[0]);
        for (const Context& context : contract_contexts()) {
          SCOPED_TRACE(name_of(context));
          Rows again = first, stored_again = z;
          differentiate(z, again, {1}, {4}, context);
          differentiate(z, stored_again, {1}, {4}, context);
          expect_truth(again, truth, {values}, {1}, {4}, 1);
          if (!has_cpu_bits(context)) continue;
          EXPECT_TRUE(again.same_bits_as(first));
          EXPECT_TRUE(stored_again.same_bits_as(stored));
          for (const Layout& layout :
               layouts()) {  // each decides for a tile, not for a piece of it
            const std::size_t rows = 6;
            Rows laid = in_layout(layout, std::vector(rows, values), dtype);
            Rows grad(layout, std::int64_t(rows), columns, DType::f32);
            differentiate(laid, grad, std::vector<float>(rows, 1), std::vector<float>(rows, 4),
                          context);
            for (std::int64_t i = 0; i < columns; ++i)
              ASSERT_TRUE(same_bits(grad.get(5, i), first.get(0, i))) << layout.name << " " << i;
          }
        }
        if (HasFatalFailure()) return;
      }
}

// One row's lse +∞ and NaNs that the lse doesn't know of.
TEST(LogsumexpBackward, InconsistentInputsStayNan) {
  for (const Context& context : contract_contexts())
    for (const std::int64_t columns : {300, 9000}) {
      std::vector<float> z = gaussian(columns, 1, 1, 0);
      z[4] = kNaN;
      z[5] = std::bit_cast<float>(0xffc12345u);
      z[6] = kInf;
      std::vector<float> finite = z;
      finite[6] = 1;
      for (const DType dtype : logits_dtypes()) {
        Rows rows = in_layout(contiguous_layout(), {z, finite, finite}, dtype);
        Rows grad(contiguous_layout(), 3, columns, dtype);
        differentiate(rows, grad, {1, 1, 1}, {6.0f, 6.0f, kInf}, context);
        for (const std::int64_t i : {4, 5})
          for (const std::int64_t row : {0, 1, 2})
            EXPECT_TRUE(same_bits(grad.get(row, i), rounded_to(kNaN, dtype))) << row;
        EXPECT_EQ(grad.get(0, 6), kInf);
        for (const std::int64_t i : {std::int64_t{9}, columns - 1})
          EXPECT_NEAR(grad.get(0, i), grad.get(1, i), 1e-2f * grad.get(1, i));
        EXPECT_TRUE(std::isnan(grad.get(2, 9)));
      }
    }
}

TEST(Logsumexp, UsesTheWorkspaceItAsksFor) {
  const Values values = healthy_values(9000, DType::f32);
  BackwardsExecutor executor(9);
  for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[4]}) {
    Rows z = in_layout(layout, values, DType::f32), grad = z;
    std::vector<float> lse(20), g = some_gradients();
    const LogsumexpArgs args{.logits = z.tensor(), .lse = z.per_row(lse), .dim = layout.dim};
    const LogsumexpBackwardArgs backward{.grad_output = z.per_row(g),
                                         .lse = z.per_row(lse),
                                         .logits = z.tensor(),
                                         .grad_logits = grad.tensor(),
                                         .dim = layout.dim};
    const std::size_t size = on::logsumexp_workspace_size(args);
    const std::size_t backward_size = on::logsumexp_backward_workspace_size(backward);
    // The CPU backend stages rows that aren't contiguous.
    if (!on::is_cuda()) {
      EXPECT_EQ(backward_size > 0, layout.dim != -1);
    }
    const auto expect_enough = [&](std::size_t bytes, const auto& call) {
      std::vector<std::uint64_t> memory(bytes / 8 + 2, 0x1234567890abcdef);
      expect_ok(call(Context{.workspace = {memory.data(), bytes}, .executor = &executor}));
      EXPECT_EQ(memory.back(), 0x1234567890abcdef);
    };
    expect_enough(size, [&](const Context& context) { return on::logsumexp(args, context); });
    expect_enough(backward_size, [&](const Context& context) {
      return on::logsumexp_backward(backward, context);
    });
    Rows plain = in_layout(contiguous_layout(), values, DType::f32), plain_grad = plain;
    expect_same_bits(lse, lse_of(plain).value);
    differentiate(plain, plain_grad, g, lse);
    EXPECT_TRUE(grad.same_bits_as(plain_grad));
  }
}

TEST(Logsumexp, RefusesWhatItCantDo) {
  std::vector<float> a(40), b(40), c(40);
  const Tensor z = Tensor::of(a.data(), {4, 5});
  const auto message = [](const LogsumexpArgs& args) {
    return std::string(on::logsumexp(args).message());
  };
  const auto backward = [](const LogsumexpBackwardArgs& args) {
    return std::string(on::logsumexp_backward(args).message());
  };
  EXPECT_EQ(message({.lse = Tensor::of(b.data(), {4})}), "logsumexp: logits is missing");
  EXPECT_EQ(message({.logits = z}), "logsumexp: lse is missing");
  EXPECT_EQ(message({.logits = z, .lse = Tensor::of(b.data(), {4}), .dim = 0}),
            "logsumexp: lse has shape [4], must be [5] (logits without dim 0 is [5])");
  EXPECT_EQ(message({.logits = z, .lse = Tensor::of(a.data(), {4})}),
            "logsumexp: output lse overlaps input logits in memory");
  EXPECT_EQ(message({.logits = z, .lse = Tensor::of(b.data(), {4}), .temperature = -1.0f}),
            "logsumexp: temperature is -1, must be in [2^-64, 2^64]");
  const Tensor g = Tensor::of(b.data(), {4}), lse = Tensor::of(b.data() + 4, {4});
  const Tensor grad = Tensor::of(c.data(), {4, 5});
  EXPECT_EQ(backward({.lse = lse, .logits = z, .grad_logits = grad}),
            "logsumexp_backward: grad_output is missing");
  EXPECT_EQ(backward({.grad_output = g, .logits = z, .grad_logits = grad}),
            "logsumexp_backward: lse is missing");
  EXPECT_EQ(backward({.grad_output = g, .lse = lse, .logits = z}),
            "logsumexp_backward: grad_logits is missing");
  EXPECT_EQ(backward({.grad_output = g, .lse = lse, .logits = z, .grad_logits = grad, .dim = -3}),
            "logsumexp_backward: dim is -3, must be in [-2, 1] (logits has shape [4, 5])");
  EXPECT_EQ(backward({.grad_output = g,
                      .lse = lse,
                      .logits = z,
                      .grad_logits = Tensor::of(b.data() + 3, {4, 5})}),
            "logsumexp_backward: output grad_logits overlaps input grad_output in memory");
}

}  // namespace
}  // namespace logsum::test
